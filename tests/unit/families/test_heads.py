"""Which heads of a checkpoint Hugging Face's AST can express."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families import heads
from ast2hf.families.ast import AST
from ast2hf.families.base import AVERAGES_PATCHES, CLASSIFICATION, CLS, MEAN
from ast2hf.families.heads import PLAIN, Layout
from ast2hf.families.passt import PASST
from ast2hf.families.patchmix import PATCH_MIX
from ast2hf.families.ssast import SSAST

WIDTH, LABELS = 8, 3


def shapes_of(module, name="mlp_head"):
    """As a state dict of a model with the head ``module`` has them, among others."""
    found = {f"{name}.{key}": tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    return {"v.norm.weight": (WIDTH,), "mlp_head_of_another.0.weight": (WIDTH,)} | found


NORM, LINEAR = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LABELS)


@pytest.mark.parametrize(
    ("modules", "norm", "linear"),
    [
        ((NORM, LINEAR), 0, 1),
        ((NORM, nn.Dropout(), LINEAR), 0, 2),
        ((nn.Dropout(), NORM, LINEAR), 1, 2),
        ((nn.Dropout(), NORM, nn.Dropout(), LINEAR, nn.Dropout()), 1, 3),
        ((NORM, nn.Linear(WIDTH, 1)), 0, 1),
        ((NORM, nn.Linear(WIDTH, WIDTH)), 0, 1),
    ],
)
def test_norm_and_linear_layer_with_dropout_between_or_around(modules, norm, linear):
    shapes = shapes_of(nn.Sequential(*modules))
    assert heads.layout(shapes, "mlp_head") == Layout(f"mlp_head.{norm}", f"mlp_head.{linear}")
    assert AST.heads(CLS, shapes) == {"classification": None, "none": None}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (LINEAR, "is a single linear layer"),
        (nn.Sequential(LINEAR), "no parameters of a layer norm"),
        (nn.Sequential(nn.Dropout(), LINEAR), "no parameters of a layer norm"),
        (nn.Sequential(nn.LayerNorm(WIDTH, elementwise_affine=False), LINEAR), "no parameters of a layer norm"),
        (nn.Sequential(nn.BatchNorm1d(WIDTH), LINEAR), "has a batch norm"),
        (nn.Sequential(NORM, nn.Linear(WIDTH, WIDTH), nn.ReLU(), LINEAR), "has 2 linear layers"),
        (nn.Sequential(NORM, nn.Linear(WIDTH, WIDTH), LINEAR), "has 2 linear layers"),
        (nn.Sequential(LINEAR, nn.LayerNorm(LABELS)), "is not a layer norm followed by a linear layer"),
        (nn.Sequential(NORM, NORM, LINEAR), "is not a layer norm followed by a linear layer"),
        (nn.Sequential(NORM), "is not a layer norm followed by a linear layer"),
        (nn.Sequential(nn.LSTM(WIDTH, WIDTH), LINEAR), "is not a layer norm followed by a linear layer"),
        (nn.Sequential(NORM, nn.Conv1d(WIDTH, LABELS, 1)), "is not a layer norm followed by a linear layer"),
        (nn.Sequential(NORM, nn.Linear(WIDTH, LABELS, bias=False)), "has no bias"),
        (nn.Sequential(NORM, nn.GELU(), nn.Dropout(), LINEAR), "2 modules without tensors lie between"),
        (nn.Sequential(NORM, nn.Sequential(LINEAR)), "has a module 1.0"),
        (nn.Identity(), "has no classifier"),
    ],
)
def test_other_heads_are_refused_with_reason_and_remedy(module, words):
    shapes = shapes_of(module)
    with pytest.raises(InputError) as caught:
        AST.table(CLASSIFICATION, shapes)
    assert words in caught.value.cause
    assert "model.head=none" in caught.value.remedy
    assert words in AST.heads(CLS, shapes)[CLASSIFICATION]
    assert AST.heads(CLS, shapes)["none"] is None
    AST.table("none", shapes)


PLAIN_NORM = nn.LayerNorm(WIDTH, elementwise_affine=False)


@pytest.mark.parametrize(
    ("modules", "linear"),
    [
        ((PLAIN_NORM, LINEAR), 1),
        ((nn.Dropout(), PLAIN_NORM, LINEAR), 2),
        ((PLAIN_NORM, nn.Dropout(), LINEAR, nn.Dropout()), 2),
        ((nn.Dropout(), PLAIN_NORM, nn.Dropout(), nn.Linear(WIDTH, 1)), 3),
    ],
)
def test_a_linear_layer_with_a_plain_norm_set_by_the_user(modules, linear):
    shapes = shapes_of(nn.Sequential(*modules))
    assert heads.layout(shapes, "mlp_head", PLAIN) == Layout(None, f"mlp_head.{linear}")
    for family in (AST, SSAST):
        assert family.heads(CLS, shapes, PLAIN) == {"classification": None, "none": None}
    assert SSAST.heads(MEAN, shapes, PLAIN)["classification"] == AVERAGES_PATCHES
    assert PASST.heads(CLS, shapes_of(nn.Sequential(*modules), "head"), PLAIN)["classification"] is None
    rules = {
        rule.targets[0]: rule.sources for rule in AST.table(CLASSIFICATION, shapes, False, PLAIN) if _is_head(rule)
    }
    assert rules == {
        "classifier.layernorm.weight": (),
        "classifier.layernorm.bias": (),
        "classifier.dense.weight": (f"mlp_head.{linear}.weight",),
        "classifier.dense.bias": (f"mlp_head.{linear}.bias",),
    }
    with pytest.raises(InputError) as caught:
        AST.table(CLASSIFICATION, shapes)
    assert "model.head=none" in caught.value.remedy
    assert "set model.head_norm=plain" in caught.value.remedy


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (LINEAR, "is a single linear layer"),
        (nn.Sequential(LINEAR), "nothing precedes the linear layer"),
        (nn.Sequential(PLAIN_NORM, nn.Linear(WIDTH, LABELS, bias=False)), "parameters other than a weight and a bias"),
        (nn.Sequential(PLAIN_NORM, LINEAR, nn.ReLU(), nn.Linear(LABELS, LABELS)), "has 2 linear layers"),
        (nn.Sequential(nn.BatchNorm1d(WIDTH), LINEAR), "has a batch norm"),
        (nn.Sequential(PLAIN_NORM, nn.Sequential(LINEAR)), "has a module 1.0"),
    ],
)
def test_head_norm_does_not_make_other_heads_acceptable(module, words):
    shapes = shapes_of(module)
    assert words in heads.why_not(shapes, "mlp_head", PLAIN)
    with pytest.raises(InputError) as caught:
        heads.layout(shapes, "mlp_head", PLAIN)
    assert caught.value.remedy == heads.REMEDY


def test_parameters_that_are_there_contradict_a_plain_norm():
    shapes = shapes_of(nn.Sequential(nn.Dropout(), NORM, LINEAR))
    with pytest.raises(
        ConfigurationError, match=r"head_norm=plain says .* no parameters, .* has them \(mlp_head\.1\.\*\)"
    ):
        AST.table(CLASSIFICATION, shapes, False, PLAIN)
    AST.table("none", shapes, False, PLAIN)


@given(
    st.dictionaries(
        st.from_regex(r"mlp_head\.[0-9a-z.]{0,8}", fullmatch=True),
        st.lists(st.integers(0, 9), max_size=4).map(tuple),
        max_size=6,
    )
)
def test_whatever_the_names_are_a_layout_is_of_two_modules_that_are_there(shapes):
    if heads.why_not(shapes, "mlp_head") is None:
        layout = heads.layout(shapes, "mlp_head")
        assert len(shapes[f"{layout.norm}.weight"]) == 1
        assert len(shapes[f"{layout.linear}.weight"]) == 2


def test_a_head_of_averaged_patches_cannot_be_expressed():
    shapes = shapes_of(nn.Sequential(NORM, LINEAR))
    assert SSAST.heads(MEAN, shapes) == {"classification": AVERAGES_PATCHES, "none": None}
    assert SSAST.heads(CLS, shapes) == {"classification": None, "none": None}


def test_the_trained_head_of_a_patch_mix_model_is_the_one_beside_the_encoder():
    shapes = shapes_of(nn.Sequential(NORM, LINEAR)) | shapes_of(nn.Sequential(NORM, LINEAR), "classifier")
    targets = {rule.sources[0]: rule.targets[0] for rule in PATCH_MIX.table(CLASSIFICATION, shapes) if _is_head(rule)}
    assert targets == {
        "classifier.0.weight": "classifier.layernorm.weight",
        "classifier.0.bias": "classifier.layernorm.bias",
        "classifier.1.weight": "classifier.dense.weight",
        "classifier.1.bias": "classifier.dense.bias",
    }
    dropped = {rule.source: rule.reason for rule in PATCH_MIX.table(CLASSIFICATION, shapes) if hasattr(rule, "source")}
    assert all("does not train" in dropped[f"mlp_head.{i}.{kind}"] for i in (0, 1) for kind in ("weight", "bias"))


def _is_head(rule):
    return hasattr(rule, "targets") and rule.targets[0].startswith("classifier.")


def test_an_untrained_norm_has_exactly_ones_and_zeros():
    norm = nn.LayerNorm(WIDTH)
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    assert heads.untrained(weight, bias)
    optimizer = torch.optim.SGD(norm.parameters(), lr=1e-4)
    (norm(torch.arange(float(WIDTH))) ** 3).sum().backward()
    optimizer.step()
    assert not heads.untrained(norm.weight.detach().numpy(), norm.bias.detach().numpy())
    ones, zeros = np.ones(WIDTH), np.zeros(WIDTH)
    for index in range(WIDTH):
        assert not heads.untrained(np.nextafter(ones, 2, where=np.arange(WIDTH) == index, out=ones.copy()), zeros)
        assert not heads.untrained(ones, np.where(np.arange(WIDTH) == index, 1e-30, 0))
    assert not heads.untrained(np.full(WIDTH, np.nan), zeros)
