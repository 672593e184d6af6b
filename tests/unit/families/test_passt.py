"""PaSST and MAEST: positions that are sums, no extractor, the figures of their authors' code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ast2hf.checkpoint import synthetic
from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families.ast import AST
from ast2hf.families.maest import MAEST
from ast2hf.families.passt import PASST
from ast2hf.mapping.plan import make_plan

GOLDEN = np.load(Path(__file__).parents[2] / "data" / "passt_maest.npz")
"""By case and figure, float64: what the classes of the authors compute with the weights of the recipe, seed 21."""

SEED = 21

ATOL = 5e-6

CASES = {
    "passt_s10": (PASST, 12, 99, 527, {"": 998, "_short": 500}),
    "maest_10s": (MAEST, 9, 62, 400, {"": 626, "_625": 625, "_short": 316}),
}
"""Family, rows and columns of the positions, labels, and the inputs by the suffix of their figures."""


def variant(family, frames, **changes):
    settings = {
        "name": "x", "frequency_stride": 10, "time_stride": 10, "max_length": frames, "mean": 0.0, "std": 1.0,
        "num_mel_bins": family.num_mel_bins, "problem_type": "multi_label_classification",
    }  # fmt: skip
    return Variant(**{**settings, **changes})


def shapes_of(case):
    """Names and shapes of the authors' file, 192 wide with 4 blocks."""
    _, rows, columns, labels, _ = CASES[case]
    found = {
        "cls_token": (1, 1, 192), "dist_token": (1, 1, 192), "new_pos_embed": (1, 2, 192),
        "freq_new_pos_embed": (1, 192, rows, 1), "time_new_pos_embed": (1, 192, 1, columns),
        "patch_embed.proj.weight": (192, 1, 16, 16), "patch_embed.proj.bias": (192,),
    }  # fmt: skip
    for block in (f"blocks.{i}." for i in range(4)):
        for name, shape in {
            "norm1.weight": (192,), "norm1.bias": (192,), "attn.qkv.weight": (576, 192), "attn.qkv.bias": (576,),
            "attn.proj.weight": (192, 192), "attn.proj.bias": (192,), "norm2.weight": (192,), "norm2.bias": (192,),
            "mlp.fc1.weight": (768, 192), "mlp.fc1.bias": (768,), "mlp.fc2.weight": (192, 768), "mlp.fc2.bias": (192,),
        }.items():  # fmt: skip
            found[block + name] = shape
    return found | {
        "norm.weight": (192,), "norm.bias": (192,), "head.0.weight": (192,), "head.0.bias": (192,),
        "head.1.weight": (labels, 192), "head.1.bias": (labels,),
        "head_dist.weight": (labels, 192), "head_dist.bias": (labels,),
    }  # fmt: skip


def tensors_of(shapes):
    return {name: torch.from_numpy(synthetic.weight(name, shape, SEED)) for name, shape in shapes.items()}


def inputs(frames, longest, mels):
    """A shorter input is the beginning of the longer one."""
    whole = np.float32(0.5) * synthetic.uniform("input_values", (1, longest, mels), SEED)
    return torch.from_numpy(whole[:, :frames])


@pytest.mark.parametrize(("case", "suffix"), [(case, suffix) for case in CASES for suffix in CASES[case][4]])
def test_the_reference_computes_what_the_authors_code_computes(case, suffix):
    family, *_, lengths = CASES[case]
    shapes, frames = shapes_of(case), lengths[suffix]
    geometry = family.geometry(variant(family, frames), shapes)
    features = inputs(frames, lengths[""], family.num_mel_bins)
    with torch.inference_mode():
        out = family.reference(geometry, tensors_of(shapes))(features)
    for name, value in {"logits": out.logits, "pooled": out.pooled}.items():
        assert np.abs(value.double().numpy() - GOLDEN[f"{case}/{name}{suffix}"]).max() <= ATOL
    tokens = out.last_hidden_state[0, [0, 1, 2, -1], :8]
    assert np.abs(tokens.double().numpy() - GOLDEN[f"{case}/tokens{suffix}"]).max() <= ATOL


def test_columns_from_the_middle_would_be_found():
    family, *_, lengths = CASES["passt_s10"]
    shapes = shapes_of("passt_s10")
    tensors = tensors_of(shapes)
    tensors["time_new_pos_embed"] = tensors["time_new_pos_embed"].roll(-20, dims=3)
    geometry = family.geometry(variant(family, 500), shapes)
    out = family.reference(geometry, tensors)(inputs(500, lengths[""], 128))
    assert np.abs(out.logits.detach().numpy() - GOLDEN["passt_s10/logits_short"]).max() > 1e-3


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("suffix", ["", "_short"])
def test_the_plan_makes_the_positions_that_the_reference_adds(case, suffix):
    family, *_, lengths = CASES[case]
    shapes = shapes_of(case)
    tensors = tensors_of(shapes)
    geometry = family.geometry(variant(family, lengths[suffix]), shapes)
    plan = make_plan(family.table("classification", shapes), 4, geometry.dimensions(), shapes)
    made = dict(plan.tensors(tensors.__getitem__))
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    assert made[name].shape == (1, geometry.num_positions, 192)
    assert torch.equal(made[name], family.reference(geometry, tensors).positions)
    assert set(plan.dropped) == {"head_dist.weight", "head_dist.bias"}


def test_more_frames_than_positions_are_refused():
    shapes = shapes_of("passt_s10")
    assert PASST.geometry(variant(PASST, 1005), shapes).time_patches == 99
    with pytest.raises(ConfigurationError, match=r"1006 frames are 100 patches in time, and the checkpoint has .* 99"):
        PASST.geometry(variant(PASST, 1006), shapes)


def test_another_number_of_mel_bins_does_not_fit():
    shapes = shapes_of("maest_10s")
    geometry = MAEST.geometry(variant(MAEST, 626, num_mel_bins=128), shapes)
    with pytest.raises(InputError, match="freq_new_pos_embed"):
        make_plan(MAEST.table("classification", shapes), 4, geometry.dimensions(), shapes)


def changed(shapes, **changes):
    return {**shapes, **{name.replace("__", "."): shape for name, shape in changes.items()}}


def test_each_fits_its_own_files_and_the_other_only_where_sizes_leave_it_open():
    passt, maest = shapes_of("passt_s10"), shapes_of("maest_10s")
    assert (PASST.fits(passt), MAEST.fits(passt)) == (True, False)
    assert (PASST.fits(maest), MAEST.fits(maest)) == (False, True)
    other_labels = changed(maest, head__1__weight=(10, 192))  # 9 rows are those of 128 bins at a stride of 14, too
    assert (PASST.fits(other_labels), MAEST.fits(other_labels)) == (True, True)
    stride_14 = changed(passt, freq_new_pos_embed=(1, 192, 9, 1), time_new_pos_embed=(1, 192, 1, 71))
    assert (PASST.fits(stride_14), MAEST.fits(stride_14)) == (True, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"new_pos_embed": (1, 1, 192)},
        {"patch_embed__proj__weight": (192, 1, 16, 8)},
        {"freq_new_pos_embed": (1, 192, 13, 1)},
        {"freq_new_pos_embed": (192,)},
    ],
)
def test_what_is_built_otherwise_fits_neither(changes):
    shapes = changed(shapes_of("passt_s10"), **changes)
    assert not PASST.fits(shapes)
    assert not MAEST.fits(shapes)


def test_without_a_distillation_token_it_fits_neither():
    shapes = shapes_of("passt_s10")
    del shapes["dist_token"]
    assert not PASST.fits(shapes)
    assert not AST.fits(shapes_of("passt_s10"))


def test_the_lengths_of_the_recipes_are_among_the_readings():
    for case, (family, rows, columns, *_) in CASES.items():
        readings = family.readings(Variant(), shapes_of(case))
        assert {(r.rows, r.columns) for r in readings} == {(rows, columns)}
        equal = [r for r in readings if r.frequency_stride == r.time_stride]
        assert [(r.frequency_stride, r.has(10, 10, CASES[case][4][""])) for r in equal] == [(10, True)]
    twenty_seconds = changed(shapes_of("passt_s10"), time_new_pos_embed=(1, 192, 1, 200))
    assert any(r.has(10, 10, 2000) for r in PASST.readings(Variant(), twenty_seconds))


def test_its_own_head_is_kept_apart_from_an_encoder():
    shapes = shapes_of("maest_10s")
    plan = make_plan(
        MAEST.table("none", shapes), 4, MAEST.geometry(variant(MAEST, 626, head="none"), shapes).dimensions(), shapes
    )
    assert plan.apart == ("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias")
    assert set(plan.dropped) == {*plan.apart, "head_dist.weight", "head_dist.bias"}


@pytest.mark.parametrize(("family", "rate"), [(PASST, 32000), (MAEST, 16000)])
def test_its_features_are_described_and_not_computed(family, rate):
    front_end = family.front_end(variant(family, 500))
    assert not family.expressible
    value = front_end.as_dict()
    assert (value["sampling_rate"], value["max_length"], value["num_mel_bins"]) == (rate, 500, family.num_mel_bins)
    assert value["not_expressible"]
    with pytest.raises(NotImplementedError):
        front_end(torch.zeros(1000))


def test_front_end_constants_are_no_part_of_maest():
    shapes = changed(shapes_of("maest_10s"), melspectrogram__spec__window=(512,))
    assert MAEST.fits(shapes)
    geometry = MAEST.geometry(variant(MAEST, 626), shapes)
    plan = make_plan(MAEST.table("classification", shapes), 4, geometry.dimensions(), shapes)
    assert "melspectrogram.spec.window" in plan.dropped


def test_the_same_geometry_however_it_is_read():
    shapes = shapes_of("passt_s10")
    geometry = PASST.geometry(variant(PASST, 998), shapes)
    assert dataclasses.asdict(geometry) == {
        "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3, "num_labels": 527, "patch_size": 16,
        "frequency_stride": 10, "time_stride": 10, "max_length": 998, "num_mel_bins": 128, "mlp_size": None,
    }  # fmt: skip
    assert geometry.num_positions == 2 + 12 * 99
