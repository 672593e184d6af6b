"""PaSST and MAEST: positions that are sums, no extractor, the figures of their authors' code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.family_cases import CASES

from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families.ast import AST
from ast2hf.families.maest import MAEST
from ast2hf.families.passt import PASST
from ast2hf.mapping.plan import make_plan

ATOL = 5e-6

CASES = {name: CASES[name] for name in ("passt_s10", "maest_10s")}
INPUTS = {"passt_s10": {"": 998, "_short": 500}, "maest_10s": {"": 626, "_625": 625, "_short": 316}}
"""Frames by the suffix of their figures; a shorter input is the beginning of the longer one."""

PASST_SHAPES, MAEST_SHAPES = (case.shapes() for case in CASES.values())


def variant(case, frames, **changes):
    return dataclasses.replace(CASES[case].variant("classification"), max_length=frames, **changes)


@pytest.mark.parametrize(("case", "suffix"), [(case, suffix) for case in CASES for suffix in INPUTS[case]])
def test_the_reference_computes_what_the_authors_code_computes(case, suffix):
    made, frames = CASES[case], INPUTS[case][suffix]
    geometry = made.family.geometry(variant(case, frames), made.shapes())
    out = made.family.reference(geometry, made.state_dict())(made.features()[:, :frames])
    for name, value in {"logits": out.logits, "pooled": out.pooled}.items():
        assert np.abs(value.double().numpy() - made.figure(name + suffix)).max() <= ATOL
    tokens = out.last_hidden_state[0, [0, 1, 2, -1], :8]
    assert np.abs(tokens.double().numpy() - made.figure("tokens" + suffix)).max() <= ATOL


def test_columns_from_the_middle_would_be_found():
    case = CASES["passt_s10"]
    tensors = dict(case.state_dict())
    tensors["time_new_pos_embed"] = tensors["time_new_pos_embed"].roll(-20, dims=3)
    geometry = PASST.geometry(variant("passt_s10", 500), PASST_SHAPES)
    out = PASST.reference(geometry, tensors)(case.features()[:, :500])
    assert np.abs(out.logits.numpy() - case.figure("logits_short")).max() > 1e-3


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("suffix", ["", "_short"])
def test_the_plan_makes_the_positions_that_the_reference_adds(case, suffix):
    family, shapes, tensors = CASES[case].family, CASES[case].shapes(), CASES[case].state_dict()
    geometry = family.geometry(variant(case, INPUTS[case][suffix]), shapes)
    plan = make_plan(family.table("classification", shapes), 4, geometry.dimensions(), shapes)
    made = dict(plan.tensors(tensors.__getitem__))
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    assert made[name].shape == (1, geometry.num_positions, 192)
    assert torch.equal(made[name], family.reference(geometry, tensors).positions)
    assert set(plan.dropped) == {"head_dist.weight", "head_dist.bias"}


def test_more_frames_than_positions_are_refused():
    shapes = dict(PASST_SHAPES)
    assert PASST.geometry(variant("passt_s10", 1005), shapes).time_patches == 99
    with pytest.raises(ConfigurationError, match=r"1006 frames make 100 patches in time, but the checkpoint has .* 99"):
        PASST.geometry(variant("passt_s10", 1006), shapes)


def test_another_number_of_mel_bins_does_not_fit():
    shapes = dict(MAEST_SHAPES)
    geometry = MAEST.geometry(variant("maest_10s", 626, num_mel_bins=128), shapes)
    with pytest.raises(InputError, match="freq_new_pos_embed"):
        make_plan(MAEST.table("classification", shapes), 4, geometry.dimensions(), shapes)


def changed(shapes, **changes):
    return {**shapes, **{name.replace("__", "."): shape for name, shape in changes.items()}}


def test_each_fits_its_own_files_and_the_other_only_where_sizes_leave_it_open():
    passt, maest = PASST_SHAPES, MAEST_SHAPES
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
def test_other_structures_fit_neither(changes):
    shapes = changed(PASST_SHAPES, **changes)
    assert not PASST.fits(shapes)
    assert not MAEST.fits(shapes)


def test_without_a_distillation_token_it_fits_neither():
    shapes = dict(PASST_SHAPES)
    del shapes["dist_token"]
    assert not PASST.fits(shapes)
    assert not AST.fits(PASST_SHAPES)


def test_the_lengths_of_the_recipes_are_among_the_readings():
    for name, grid in {"passt_s10": (12, 99), "maest_10s": (9, 62)}.items():
        readings = CASES[name].family.readings(Variant(), CASES[name].shapes())
        assert {(r.rows, r.columns) for r in readings} == {grid}
        equal = [r for r in readings if r.frequency_stride == r.time_stride]
        assert [(r.frequency_stride, r.has(10, 10, CASES[name].frames)) for r in equal] == [(10, True)]
    twenty_seconds = changed(PASST_SHAPES, time_new_pos_embed=(1, 192, 1, 200))
    assert any(r.has(10, 10, 2000) for r in PASST.readings(Variant(), twenty_seconds))


def test_its_own_head_is_kept_apart_from_an_encoder():
    shapes = dict(MAEST_SHAPES)
    plan = make_plan(
        MAEST.table("none", shapes),
        4,
        MAEST.geometry(variant("maest_10s", 626, head="none"), shapes).dimensions(),
        shapes,
    )
    assert plan.apart == ("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias")
    assert set(plan.dropped) == {*plan.apart, "head_dist.weight", "head_dist.bias"}


@pytest.mark.parametrize(("case", "rate"), [("passt_s10", 32000), ("maest_10s", 16000)])
def test_its_features_are_described_and_not_computed(case, rate):
    family = CASES[case].family
    front_end = family.front_end(variant(case, 500))
    assert not family.expressible
    value = front_end.as_dict()
    assert (value["sampling_rate"], value["max_length"], value["num_mel_bins"]) == (rate, 500, family.num_mel_bins)
    assert value["not_expressible"]
    with pytest.raises(NotImplementedError):
        front_end(torch.zeros(1000))


def test_front_end_constants_are_no_part_of_maest():
    shapes = changed(MAEST_SHAPES, melspectrogram__spec__window=(512,))
    assert MAEST.fits(shapes)
    geometry = MAEST.geometry(variant("maest_10s", 626), shapes)
    plan = make_plan(MAEST.table("classification", shapes), 4, geometry.dimensions(), shapes)
    assert "melspectrogram.spec.window" in plan.dropped


def test_the_same_geometry_however_it_is_read():
    shapes = dict(PASST_SHAPES)
    geometry = PASST.geometry(variant("passt_s10", 998), shapes)
    assert dataclasses.asdict(geometry) == {
        "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3, "num_labels": 527, "patch_size": 16,
        "frequency_stride": 10, "time_stride": 10, "max_length": 998, "num_mel_bins": 128, "mlp_size": None,
    }  # fmt: skip
    assert geometry.num_positions == 2 + 12 * 99
