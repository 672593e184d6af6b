import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ast2hf.mapping.ops import (
    Chunk,
    Concatenate,
    Filled,
    FirstColumns,
    Identity,
    Scaled,
    SummedPositions,
    ZeroPadded,
    sized,
    undone,
)  # fmt: skip


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
def test_there_and_back_is_the_same(count, rows, columns):
    whole = torch.arange(count * rows * columns, dtype=torch.float32).reshape(count * rows, columns)
    for op in (Identity(), Chunk(count)):
        parts = op(whole)
        assert tuple(tuple(part.shape) for part in parts) == op.shapes(tuple(whole.shape))
        (back,) = op.inverse(*parts)
        assert torch.equal(back, whole)
        assert op.inverse.inverse == op


def test_what_copies_has_the_elements_of_its_source_in_order():
    source = torch.arange(12.0).reshape(6, 2)
    for op in (Identity(), Chunk(3)):
        assert op.copies
        assert torch.equal(torch.cat([part.reshape(-1) for part in op(source)]), source.reshape(-1))


def test_an_uneven_split_is_refused():
    with pytest.raises(ValueError, match=r"\[3\] does not split into 2"):
        Chunk(2).shapes((3,))


@pytest.mark.parametrize("sources", [((2, 1),), ((2, 1), (3, 1))])
def test_only_as_many_tensors_of_one_shape_are_joined(sources):
    with pytest.raises(ValueError, match="are not 2 tensors of the same shape"):
        Concatenate(2).shapes(*sources)


@given(st.integers(1, 3), st.integers(1, 8), st.integers(0, 6))
def test_a_padded_kernel_is_square_has_zeros_after_its_columns_and_goes_back(out, columns, more):
    kernel = torch.randn(out, 1, columns + more, columns, generator=torch.Generator().manual_seed(0))
    op = ZeroPadded(columns)
    (square,) = op(kernel)
    assert (tuple(square.shape),) == op.shapes(tuple(kernel.shape)) == ((out, 1, columns + more, columns + more),)
    assert not square[..., columns:].any()
    back = undone(op)
    assert torch.equal(back(square)[0], kernel)
    assert back.shapes(tuple(square.shape)) == (tuple(kernel.shape),)


def test_a_padded_kernel_computes_the_same_whatever_the_frames_after_it_are():
    generator = torch.Generator().manual_seed(0)
    kernel, spectrogram = torch.randn(4, 1, 8, 2, generator=generator), torch.randn(1, 1, 8, 30, generator=generator)
    longer = torch.cat([spectrogram, torch.full((1, 1, 8, 6), 1e3)], dim=3)
    (square,) = ZeroPadded(2)(kernel)
    conv = torch.nn.functional.conv2d
    torch.testing.assert_close(conv(longer, square, stride=3), conv(spectrogram, kernel, stride=3), atol=1e-5, rtol=0)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(1, 3))
def test_positions_are_the_sum_of_row_and_column_cut_from_the_start(rows, columns, more, width):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 2, width, generator=generator)
    row = torch.randn(1, width, rows, 1, generator=generator)
    column = torch.randn(1, width, 1, columns + more, generator=generator)
    op = sized(SummedPositions(), {"columns": columns})
    (positions,) = op(tokens, row, column)
    assert op.shapes(*(tuple(t.shape) for t in (tokens, row, column))) == (tuple(positions.shape),)
    assert torch.equal(positions[:, :2], tokens)
    for r in range(rows):
        for c in range(columns):
            assert torch.equal(positions[0, 2 + r * columns + c], row[0, :, r, 0] + column[0, :, 0, c])
    assert undone(op) is None


def test_all_columns_are_used_unless_fewer_are_set():
    assert SummedPositions().shapes((1, 2, 3), (1, 3, 4, 1), (1, 3, 1, 5)) == ((1, 22, 3),)
    assert sized(SummedPositions(2), {"columns": 5}) == SummedPositions(2)


OPS = (Identity(), Chunk(2), ZeroPadded(2))


@given(st.sampled_from(OPS), st.sampled_from([math.sqrt(10), 1 / 3, 7.0, 1e-3]), st.integers(0, 99))
def test_a_scaled_operation_is_rounded_once_and_goes_back_within_one_rounding(op, factor, seed):
    source = torch.randn(4, 1, 3, 2, generator=torch.Generator().manual_seed(seed))
    scaled = Scaled(op, factor)
    made = scaled(source)
    assert scaled.shapes(tuple(source.shape)) == op.shapes(tuple(source.shape))
    assert [t.dtype for t in made] == [torch.float32] * len(made)
    for target, exact in zip(made, op(source.double()), strict=True):
        assert torch.equal(target, (exact * factor).float())
    (back,) = undone(scaled)(*made)
    torch.testing.assert_close(back, source, rtol=2**-23, atol=0)


def test_a_scaled_sum_gets_its_sizes_and_cannot_be_undone():
    scaled = Scaled(SummedPositions(), 2.0)
    assert sized(scaled, {"columns": 3}) == Scaled(SummedPositions(3), 2.0)
    assert undone(scaled) is None


@pytest.mark.parametrize(
    ("op", "sources", "message"),
    [
        (ZeroPadded(2), ((4, 1, 8, 3),), "not a kernel of 2 columns"),
        (ZeroPadded(2), ((4, 1, 1, 2),), "not a kernel of 2 columns and at least as many rows"),
        (ZeroPadded(2), ((4, 1, 8),), "not a kernel"),
        (FirstColumns(3), ((4, 1, 8, 2),), "not a kernel of at least 3 columns"),
        (SummedPositions(9), ((1, 2, 3), (1, 3, 4, 1), (1, 3, 1, 5)), "do not give positions for 9 columns"),
        (SummedPositions(), ((1, 2, 3), (1, 4, 4, 1), (1, 3, 1, 5)), "do not give positions"),
        (SummedPositions(), ((1, 2, 3), (1, 3, 4, 1)), "are not positions of tokens, rows and columns"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(op, sources, message):
    with pytest.raises(ValueError, match=message):
        op.shapes(*sources)


def test_a_filled_tensor_is_as_wide_as_the_model_and_has_no_source():
    op = sized(Filled(1.0), {"hidden": 3})
    assert op == Filled(1.0, 3)
    assert op.shapes() == ((3,),)
    (made,) = op()
    assert made.dtype == torch.float32
    assert torch.equal(made, torch.ones(3))
    assert (op.inverse, undone(op), op.copies) == (None, None, False)
    for wrong in (lambda: Filled(1.0).shapes(), lambda: op.shapes((3,))):
        with pytest.raises(ValueError, match="needs its size and has no source"):
            wrong()
