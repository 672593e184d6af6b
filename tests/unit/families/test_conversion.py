"""Each family in miniature: what transformers loads, against the reference of the family and those of neighbours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY
from support.in_memory import convert, plan_of
from torch import nn

from ast2hf.checkpoint import synthetic
from ast2hf.errors import InputError
from ast2hf.families.ast import AST
from ast2hf.families.base import CLASSIFICATION, CLS, MEAN
from ast2hf.families.exact import SCALE
from ast2hf.families.heads import PLAIN
from ast2hf.families.maest import MAEST
from ast2hf.families.passt import PASST
from ast2hf.families.patchmix import PATCH_MIX
from ast2hf.families.ssast import SSAST, SSAST_FRAME
from ast2hf.proof import compare

FRAME = replace(TINY, patch_size=128, frequency_stride=128, time_stride=2, max_length=64 + 126)
SIZES = {AST: TINY, SSAST: TINY, SSAST_FRAME: FRAME, PATCH_MIX: TINY}
UNEQUAL = replace(TINY, frequency_stride=12, time_stride=10, num_labels=1, mlp_size=96)
"""Unequal strides, one label, feed-forward layers of one and a half times the width."""

SMALL = replace(TINY, hidden_size=128, num_attention_heads=2, num_mel_bins=64, max_length=48, num_labels=2)


def weights_of(family, geometry):
    return synthetic.state_dict(family, geometry, 3, prefix="")


def features_of(geometry):
    return torch.from_numpy(synthetic.spectrogram(geometry, 3))


def furthest(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize(
    ("family", "geometry"), [*SIZES.items(), (AST, UNEQUAL), (AST, SMALL)], ids=lambda v: getattr(v, "name", "")
)
def test_transformers_computes_what_the_reference_does(family, geometry, tmp_path):
    weights, features = weights_of(family, geometry), features_of(geometry)
    expected = family.reference(geometry, weights, CLS)(features)
    plain = convert(tmp_path / "plain", family, geometry, weights)(features)
    assert furthest(plain.logits, expected.logits) <= 2e-5
    assert furthest(plain.pooled, expected.pooled) <= 3e-6
    exact = convert(tmp_path / "exact", family, geometry, weights, exact_epsilon=True)(features)
    for of in ("logits", "pooled", "last_hidden_state"):  # rounding: 1.9e-6 to 3.3e-6, by the processor
        assert furthest(getattr(exact, of), getattr(expected, of)) <= 5e-6, of
    for made, original in zip(exact.blocks, expected.blocks, strict=True):
        assert furthest(made / SCALE, original) <= 1e-5


def test_the_exact_epsilon_helps_where_the_pooled_vector_is_small(tmp_path):
    weights, features = weights_of(AST, TINY), features_of(TINY)
    weights["v.norm.weight"] *= 0.03
    weights["v.norm.bias"] *= 0.03
    expected = AST.reference(TINY, weights)(features).logits
    plain = convert(tmp_path / "plain", AST, TINY, weights)(features).logits
    exact = convert(tmp_path / "exact", AST, TINY, weights, exact_epsilon=True)(features).logits
    assert furthest(plain, expected) > 1e-3
    assert furthest(exact, expected) <= 3e-6


SUMMED = replace(TINY, frequency_stride=10, time_stride=10)
WITH_PLAIN_NORM = {
    AST: TINY, SSAST: TINY, SSAST_FRAME: FRAME, PASST: SUMMED, MAEST: replace(SUMMED, num_mel_bins=96),
}  # fmt: skip


def with_plain_norm(family, geometry, place):
    """Tensors of a model with torch's own layer norm without parameters in its head; and that head."""
    weights = weights_of(family, geometry)
    for part in ("weight", "bias"):
        del weights[f"{family.classifier}.0.{part}"]
    linear = {part: weights.pop(f"{family.classifier}.1.{part}") for part in ("weight", "bias")}
    norm = nn.LayerNorm(geometry.hidden_size, elementwise_affine=False)
    layer = nn.Linear(geometry.hidden_size, geometry.num_labels)
    modules = {1: (norm, layer), 2: (norm, nn.Dropout(), layer), 3: (nn.Dropout(), norm, nn.Dropout(), layer)}[place]
    layer.load_state_dict(linear)
    head = nn.Sequential(*modules).eval().requires_grad_(False)
    return weights | {f"{family.classifier}.{name}": tensor for name, tensor in head.state_dict().items()}, head


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("family", WITH_PLAIN_NORM, ids=lambda family: family.name)
def test_a_layer_norm_without_parameters_is_that_of_torch(family, place, tmp_path):
    geometry = WITH_PLAIN_NORM[family]
    weights, head = with_plain_norm(family, geometry, place)
    assert sum(name.startswith(f"{family.classifier}.") for name in weights) == 2
    features = features_of(geometry)
    pooled = family.reference(replace(geometry, num_labels=None), weights)(features).pooled
    expected = head(pooled)
    reference = family.reference(geometry, weights, CLS, PLAIN)(features)
    assert furthest(reference.logits, expected) <= 1e-6
    made = convert(tmp_path / "plain", family, geometry, weights, head_norm=PLAIN)(features)
    assert furthest(made.logits, expected) <= 2e-5
    assert furthest(made.logits, head[-1](pooled)) > 0.05  # of the linear layer alone: another function
    weights |= {name: tensor * 0.03 for name, tensor in weights.items() if name in ("v.norm.weight", "v.norm.bias")}
    expected = head(family.reference(replace(geometry, num_labels=None), weights)(features).pooled)
    made = convert(tmp_path / "exact", family, geometry, weights, exact_epsilon=True, head_norm=PLAIN)(features)
    assert furthest(made.logits, expected) <= 3e-6
    encoder = convert(tmp_path / "encoder", family, replace(geometry, num_labels=None), weights, "none", False, PLAIN)
    assert encoder(features).logits is None


def test_ones_and_zeros_are_filled_in_and_recomputed_in_float64():
    weights, _ = with_plain_norm(AST, TINY, 2)
    plan = plan_of(AST, TINY, weights, head_norm=PLAIN)
    _, computed = plan.parts()
    made = dict(computed.tensors(weights.__getitem__))
    assert sorted(made) == ["classifier.layernorm.bias", "classifier.layernorm.weight"]
    assert torch.equal(made["classifier.layernorm.weight"], torch.ones(TINY.hidden_size))
    assert torch.equal(made["classifier.layernorm.bias"], torch.zeros(TINY.hidden_size))
    assert plan.sources.keys() | plan.dropped.keys() == weights.keys()
    for name, exact in computed.tensors(lambda name: weights[name].double()):
        assert compare.is_rounding_of(made[name], exact)
        assert not compare.is_rounding_of(made[name] + 1e-7, exact)


@pytest.mark.parametrize("family", SIZES, ids=lambda family: family.name)
def test_the_encoder_alone(family, tmp_path):
    geometry = replace(SIZES[family], num_labels=None)
    weights, features = weights_of(family, SIZES[family]), features_of(geometry)
    expected = family.reference(geometry, weights, MEAN)(features)
    made = convert(tmp_path / "encoder", family, geometry, weights, head="none")(features)
    assert made.logits is None
    assert furthest(made.last_hidden_state, expected.last_hidden_state) <= 5e-6
    assert furthest(made.last_hidden_state[:, 2:].mean(dim=1), expected.pooled) <= 3e-6


def test_a_pretrained_model_becomes_an_encoder_and_says_what_was_left(tmp_path):
    for family, geometry in ((SSAST, TINY), (SSAST_FRAME, FRAME)):
        weights = {n: t for n, t in weights_of(family, geometry).items() if not n.startswith("mlp_head")}
        weights |= {
            "p_input_fdim": torch.tensor(128), "p_input_tdim": torch.tensor(64), "mask_embed": torch.zeros(1, 1, 64),
            "cpredlayer.0.weight": torch.zeros(64, 64), "gpredlayer.2.bias": torch.zeros(256),
        }  # fmt: skip
        shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        assert family.fits(shapes)
        assert "has no classifier" in family.heads(CLS, shapes)[CLASSIFICATION]
        encoder = replace(geometry, num_labels=None)
        plan = plan_of(family, encoder, weights, head="none")
        dropped = {name: reason for name, reason in plan.dropped.items() if not name.startswith("v.head")}
        assert {name: "pretraining" in reason for name, reason in dropped.items()} == {
            "p_input_fdim": True, "p_input_tdim": True, "mask_embed": True, "cpredlayer.0.weight": True,
            "gpredlayer.2.bias": True,
        }  # fmt: skip
        with pytest.raises(InputError, match="no classifier"):
            plan_of(family, geometry, weights)
        made = convert(tmp_path / family.name, family, encoder, weights, head="none")(features_of(encoder))
        expected = family.reference(encoder, weights)(features_of(encoder))
        assert furthest(made.last_hidden_state, expected.last_hidden_state) <= 5e-6


def test_a_neighbours_reference_is_far_off():
    weights = weights_of(PATCH_MIX, TINY)  # which hold what all of them need
    features = features_of(TINY)
    logits = {
        "ast": AST.reference(TINY, weights)(features).logits,
        "ssast": SSAST.reference(TINY, weights, MEAN)(features).logits,
        "patchmix": PATCH_MIX.reference(TINY, weights)(features).logits,
    }
    for one in logits:
        for other in logits:
            assert (furthest(logits[one], logits[other]) > 0.05) is (one != other), (one, other)


def test_a_kernel_padded_at_the_wrong_end_is_far_off():
    weights, features = weights_of(SSAST_FRAME, FRAME), features_of(FRAME)
    expected = SSAST_FRAME.reference(FRAME, weights)(features).logits
    moved = weights | {"v.patch_embed.proj.weight": weights["v.patch_embed.proj.weight"].roll(1, dims=3)}
    assert furthest(SSAST_FRAME.reference(FRAME, moved)(features).logits, expected) > 0.05


@pytest.mark.parametrize("family", SIZES, ids=lambda family: family.name)
@pytest.mark.parametrize("exact_epsilon", [False, True])
def test_written_tensors_can_be_undone_within_one_rounding(family, exact_epsilon):
    weights = weights_of(family, SIZES[family])
    plan = plan_of(family, SIZES[family], weights, exact_epsilon=exact_epsilon)
    back = dict(plan.undone().tensors(dict(plan.tensors(weights.__getitem__)).__getitem__))
    assert back.keys() == plan.sources.keys()
    for name, tensor in back.items():
        if exact_epsilon:
            torch.testing.assert_close(tensor, weights[name], rtol=2**-23, atol=0)
        else:
            assert torch.equal(tensor, weights[name])


@pytest.mark.parametrize("exact_epsilon", [False, True])
def test_computed_tensors_are_rounded_from_float64(exact_epsilon):
    weights = weights_of(SSAST_FRAME, FRAME)
    _, computed = plan_of(SSAST_FRAME, FRAME, weights, exact_epsilon=exact_epsilon).parts()
    made = dict(computed.tensors(weights.__getitem__))
    assert len(made) == (5 + 4 * FRAME.num_hidden_layers if exact_epsilon else 1)
    for name, exact in computed.tensors(lambda name: weights[name].double()):
        assert compare.is_rounding_of(made[name], exact)
        assert not compare.is_rounding_of(made[name] * 1.000001 + 1e-30, exact)
