"""Which family the names and shapes of the authors' files fit, and what is read from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.family_cases import CASES

from ast2hf.checkpoint import synthetic
from ast2hf.config import Variant
from ast2hf.families import FAMILIES
from ast2hf.families.base import CLASSIFICATION, CLS, POOLINGS
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.plan import make_plan

FITS = {
    "ast_tiny_ln_dropout_linear": {"ast", "ssast"},
    "ast_small_f12_t16": {"ast", "ssast"},
    "ssast_patch_finetuned": {"ast", "ssast"},
    "ssast_patch_pretrained": {"ssast"},
    "ssast_frame_finetuned": {"ssast_frame"},
    "ssast_frame_pretrained": {"ssast_frame"},
    "patchmix": {"patchmix"},
}
"""What cannot be told apart by names and shapes fits both."""

OURS = ("ast", "ssast", "ssast_frame", "patchmix")


@pytest.mark.parametrize("name", CASES)
def test_the_authors_files_fit_their_family(name):
    if name in FITS:
        assert {family for family in OURS if FAMILIES[family].fits(CASES[name].shapes())} == FITS[name]


def test_an_ast_without_a_distillation_token_fits_none():
    shapes = CASES["ast_small_f12_t16"].shapes()
    del shapes["v.dist_token"]
    assert not any(family.fits(shapes) for family in FAMILIES.values())
    assert not any(family.fits({}) for family in FAMILIES.values())


def test_a_further_classifier_of_another_kind_does_not_hide_an_ast():
    shapes = CASES["ast_small_f12_t16"].shapes() | {"classifier.0.weight": (64, 384), "classifier.2.weight": (2, 64)}
    assert {family for family in OURS if FAMILIES[family].fits(shapes)} == {"ast", "ssast"}


@pytest.mark.parametrize("name", FITS)
def test_every_tensor_of_the_authors_files_is_used_or_dropped_with_a_reason(name):
    case = CASES[name]
    shapes = case.shapes()
    for head, reason in case.family.heads(CLS, shapes).items():
        if reason is None:
            geometry = case.geometry(head)
            table = case.family.table(head, shapes)
            plan = make_plan(table, geometry.num_hidden_layers, geometry.dimensions(), shapes)
            assert plan.sources.keys() | plan.dropped.keys() == shapes.keys()
            assert geometry.num_hidden_layers == 12
            assert geometry.num_attention_heads == geometry.hidden_size // 64


@pytest.mark.parametrize("name", [name for name in FITS if "pretrained" not in name and "dropout" not in name])
def test_a_synthetic_checkpoint_has_the_names_and_shapes_of_the_authors_files(name):
    case = CASES[name]
    found = synthetic.shapes(case.family, case.geometry(CLASSIFICATION))
    assert found == case.shapes()


@pytest.mark.parametrize("family", [FAMILIES[name] for name in OURS], ids=lambda family: family.name)
def test_the_properties_of_a_family(family):
    assert FAMILIES[family.name] is family
    assert set(family.poolings) <= set(POOLINGS)
    assert family.anchors[0] == "v.cls_token"
    assert family.expressible


def test_frame_patches_lengthen_the_features_but_not_the_tokens():
    case = CASES["ssast_frame_finetuned"]
    variant = replace(case.variant(CLASSIFICATION), frequency_stride=None)
    assert case.family.front_end(variant).max_length == 128 + 126
    geometry = case.family.geometry(variant, case.shapes())
    assert (geometry.max_length, geometry.num_positions) == (254, case.shapes()["v.pos_embed"][1])


@st.composite
def models(draw):
    """A family, a geometry that it can have, and the variant that gives what its tensors do not show."""
    family = FAMILIES[draw(st.sampled_from(OURS))]
    frames = family.name == "ssast_frame"
    bins = draw(st.integers(16, 128))
    patch = bins if frames else draw(st.integers(1, 16))
    frequency_stride = bins if frames else draw(st.integers(1, 16))
    length = draw(st.integers(16, 1024))
    heads = draw(st.integers(1, 4))
    variant = Variant(
        name="m", patch_size=None, frequency_stride=frequency_stride, time_stride=draw(st.integers(1, 16)),
        max_length=length, num_mel_bins=bins,
    )  # fmt: skip
    geometry = Geometry(
        hidden_size=64 * heads, num_hidden_layers=draw(st.integers(1, 13)), num_attention_heads=heads,
        num_labels=draw(st.integers(1, 600)), patch_size=patch, frequency_stride=frequency_stride,
        time_stride=variant.time_stride, max_length=length + bins - 2 if frames else length, num_mel_bins=bins,
        mlp_size=draw(st.integers(1, 1000)),
    )  # fmt: skip
    return family, geometry, variant


@given(models())
def test_any_geometry_is_read_from_its_tensors_and_every_tensor_has_its_place(model):
    family, geometry, variant = model
    shapes = synthetic.shapes(family, geometry)
    assert family.fits(shapes)
    assert family.geometry(variant, shapes) == geometry
    table = family.table(CLASSIFICATION, shapes)
    plan = make_plan(table, geometry.num_hidden_layers, geometry.dimensions(), shapes)
    assert len(plan.targets) == 5 + 16 * geometry.num_hidden_layers + 2 + 4
    undone = plan.undone()
    assert undone.targets == plan.sources
    assert all(step.op.shapes(*step.source_shapes) == step.target_shapes for step in undone.steps)
