import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ast2hf.mapping.ops import Chunk, Concatenate, Identity


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
    with pytest.raises(ValueError, match="are not 2 tensors of one shape"):
        Concatenate(2).shapes(*sources)
