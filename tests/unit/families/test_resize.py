"""Position embeddings for other sizes, against what the constructor of the authors' model makes of the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY

from ast2hf.checkpoint import synthetic
from ast2hf.errors import ConfigurationError
from ast2hf.families import resize
from ast2hf.families.ast import AST
from ast2hf.families.ssast import SSAST_FRAME
from ast2hf.mapping.plan import make_plan

GOLDEN = np.load(Path(__file__).parents[2] / "data" / "position_grids.npz")
"""By grid of the source and of the target: of the patches, the first two of eight features, float64."""

SEED = 21
HIDDEN = 8


def case(key):
    """Source grid, target grid, the source with its two class tokens."""
    name, target = key.split("/")
    rows, columns = map(int, name.partition("_")[2].split("x"))
    value = synthetic.weight("v.pos_embed", (1, 2 + rows * columns, HIDDEN), SEED)
    return (rows, columns), tuple(int(size[1:]) for size in target.split("_")), value


@pytest.mark.parametrize("key", GOLDEN.files)
def test_both_ways_give_what_the_authors_code_gives(key):
    source, target, value = case(key)
    fit = resize.Fit(source, target)
    (by_torch,) = fit(torch.from_numpy(value).double())
    by_numpy = resize.fitted(value.astype(np.float64), source, target)
    assert fit.shapes(value.shape) == (tuple(by_torch.shape),)
    for found in (by_torch.numpy(), by_numpy):
        assert np.array_equal(found[0, :2], value[0, :2].astype(np.float64))
        assert np.abs(found[0, 2:, :2] - GOLDEN[key]).max() <= 1e-12


def test_another_start_of_the_cut_would_be_found():
    source, _, value = case("audioset_12x101/f12_t25")
    patches = value[0, 2:].reshape(*source, HIDDEN)[:, 1 + 101 // 2 - 25 // 2 :][:, :25].reshape(-1, HIDDEN)
    assert np.abs(patches[:, :2] - GOLDEN["audioset_12x101/f12_t25"]).max() > 1e-2


def test_float32_is_rounded_from_float64():
    source, target, value = case("audioset_12x101/f14_t150")
    (exact,) = resize.Fit(source, target)(torch.from_numpy(value).double())
    (rounded,) = resize.Fit(source, target)(torch.from_numpy(value))
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, exact.float())


def test_the_same_grid_is_the_same_bit_for_bit():
    source, _, value = case("deit_14x14/f14_t25")
    (same,) = resize.Fit(source, source)(torch.from_numpy(value))
    assert torch.equal(same, torch.from_numpy(value))


def test_another_number_of_tokens_does_not_fit_the_grid():
    with pytest.raises(ValueError, match="no row for each of 2 \\+ 12 x 101"):
        resize.Fit((12, 101), (12, 50)).shapes((1, 1213, 8))


def test_a_table_is_fitted_where_it_has_a_row_for_each_token_and_nowhere_else():
    target = replace(TINY, max_length=96, num_mel_bins=64)
    table, resizing = resize.resized(AST.table("classification"), TINY, target)
    tensors = synthetic.state_dict(AST, TINY, 1, prefix="")
    sizes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    plan = make_plan(table, TINY.num_hidden_layers, TINY.dimensions(), sizes)
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    assert plan.targets[name] == (1, target.num_positions, TINY.hidden_size)
    assert [step.targets for step in plan.steps if step.op.inverse is None] == [(name,)]
    made = dict(plan.tensors(tensors.__getitem__))
    fitted = resizing.state_dict(tensors)
    assert (made[name] - fitted["v.pos_embed"]).abs().max() <= 2e-9  # half a unit in the last place
    assert fitted["v.cls_token"] is tensors["v.cls_token"]


def test_the_report_says_from_what_to_what_and_how():
    target = replace(TINY, max_length=96)
    assert resize.Resizing(TINY, target, "v.pos_embed").as_dict() == {
        "from": {"max_length": 64, "num_mel_bins": 128, "num_positions": TINY.num_positions},
        "to": {"max_length": 96, "num_mel_bins": 128, "num_positions": target.num_positions},
        "rule": resize.RULE,
    }


def test_patches_over_all_mel_bins_have_no_other_number_of_them():
    own = replace(TINY, patch_size=128, frequency_stride=128, time_stride=2, max_length=190)
    other = replace(own, patch_size=64, frequency_stride=64, max_length=126, num_mel_bins=64)
    with pytest.raises(ConfigurationError, match="spans all 128 mel bins"):
        resize.resized(SSAST_FRAME.table("classification"), own, other)
    longer = replace(own, max_length=290)
    assert resize.resized(SSAST_FRAME.table("classification"), own, longer) is not None
