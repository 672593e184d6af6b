"""Whole pickled modules: what the file says of how they compute is heeded, and not only their tensors."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY, TINY_OVERRIDES, compose
from torch import nn

from ast2hf.checkpoint import synthetic
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families.ast import AST
from ast2hf.inspecting import inspect
from ast2hf.planning import open_and_plan
from ast2hf.progress import Progress
from ast2hf.results import Report

SIZES = ("model.max_length=64", "model.mean=0", "model.std=1", "loss=ce", "labels=none")


class Part(nn.Module):
    def __init__(self, settings=None, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.__dict__ |= settings or {}


def block(width, heads, activation, epsilon, norm):
    return Part(
        norm1=norm(width, epsilon), norm2=nn.LayerNorm(width, eps=epsilon),
        attn=Part({"num_heads": heads}, qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width)),
        mlp=Part(fc1=nn.Linear(width, 4 * width), act=activation, fc2=nn.Linear(4 * width, width)),
    )  # fmt: skip


def layer_norm(width, epsilon):
    return nn.LayerNorm(width, eps=epsilon)


def group_norm(width, epsilon):
    return nn.GroupNorm(1, width, eps=epsilon)


def model(
    *, heads=1, activation=None, epsilon=1e-6, norm=layer_norm, head_epsilon=1e-5, between=(), affine=True,
    **convolution
):  # fmt: skip
    """The tiny AST as a module, with parts and settings that leave no trace among its tensors."""
    width = TINY.hidden_size
    blocks = [block(width, heads, activation or nn.GELU(), epsilon, norm) for _ in range(TINY.num_hidden_layers)]
    v = Part(
        cls_token=nn.Parameter(torch.zeros(1, 1, width)), dist_token=nn.Parameter(torch.zeros(1, 1, width)),
        pos_embed=nn.Parameter(torch.zeros(1, TINY.num_positions, width)),
        patch_embed=Part(proj=nn.Conv2d(1, width, 16, **{"stride": 16, **convolution})),
        blocks=nn.Sequential(*blocks), norm=nn.LayerNorm(width, eps=epsilon), head=nn.Linear(width, 1000),
    )  # fmt: skip
    norm_of_head = nn.LayerNorm(width, eps=head_epsilon, elementwise_affine=affine)
    built = Part(v=v, mlp_head=nn.Sequential(norm_of_head, *between, nn.Linear(width, TINY.num_labels)))
    weights = synthetic.state_dict(AST, TINY, 1, prefix="")
    weights[f"mlp_head.{1 + len(between)}.weight"] = weights["mlp_head.1.weight"]
    weights[f"mlp_head.{1 + len(between)}.bias"] = weights["mlp_head.1.bias"]
    built.load_state_dict({name: weights[name] for name in built.state_dict()})
    return built


@pytest.fixture
def planned(tmp_path):
    """What is to be made of a module."""

    def plan(module, *said, wrap=nn.DataParallel):
        from contextlib import ExitStack

        from ast2hf.labels import load_labels

        path = tmp_path / "model.pth"
        torch.save(wrap(module), path)
        config = compose("model=custom", f"checkpoint={path}", *SIZES, *said)
        with ExitStack() as stack:
            labels = load_labels(config.labels, config.model)
            return open_and_plan(Report("x"), config, config.model, labels, tmp_path, stack, Progress()).spec

    return plan


@pytest.mark.parametrize("wrap", [lambda module: module, nn.DataParallel, lambda module: {"net": module, "epoch": 1}])
def test_strides_and_attention_heads_are_those_of_the_file(planned, wrap):
    geometry = planned(model(heads=4), wrap=wrap).geometry
    assert (geometry.frequency_stride, geometry.time_stride, geometry.num_attention_heads) == (16, 16, 4)


@pytest.mark.parametrize("between", [(nn.Dropout(0.5),), (nn.Identity(),)])
def test_modules_without_effect_are_allowed_in_the_head(planned, between):
    assert planned(model(between=between)).geometry.num_labels == TINY.num_labels


@pytest.mark.parametrize("between", [(), (nn.Dropout(0.5),)])
@pytest.mark.parametrize("said", [(), ("model.head_norm=plain",)])
def test_a_layer_norm_without_parameters_is_seen_in_the_file(planned, between, said):
    spec = planned(model(affine=False, between=between), *said)
    assert (spec.head, spec.head_norm) == ("classification", "plain")
    assert {"classifier.layernorm.weight", "classifier.layernorm.bias"} < spec.plan.targets.keys()
    assert planned(model(between=between)).head_norm is None


def test_a_plain_layer_norm_is_refused_if_the_pickled_model_has_none(planned):
    module = model(affine=False)
    module.mlp_head[0] = nn.Dropout()
    with pytest.raises(
        InputError, match="layer norm without parameters precedes the linear layer, but the pickled model has none"
    ):
        planned(module, "model.head_norm=plain")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activation": nn.ReLU()}, r"v\.blocks\.0\.mlp\.act of .* is ReLU"),
        ({"activation": nn.GELU(approximate="tanh")}, r"GELU \(tanh\)"),
        ({"epsilon": 1e-5}, "an epsilon of 1e-05, but its family uses 1e-06"),
        ({"norm": group_norm}, r"v\.blocks\.0\.norm1 of .* is GroupNorm"),
        ({"padding": (0, 16), "stride": (16, 48)}, "strides|padding"),
        ({"head_epsilon": 1e-6}, r"mlp_head\.0 .* an epsilon of 1e-06"),
        ({"between": (nn.GELU(),)}, r"GELU \(mlp_head\.1\)"),
        ({"affine": False, "head_epsilon": 1e-6}, r"mlp_head\.0 .* an epsilon of 1e-06"),
        ({"affine": False, "between": (nn.GELU(),)}, r"GELU \(mlp_head\.1\)"),
    ],
)
def test_a_model_that_computes_something_else_is_refused(planned, changes, words):
    with pytest.raises(InputError, match=words):
        planned(model(**changes))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("model.num_attention_heads=2",), "heads is 2, but the pickled model has 1"),
        (
            ("model.frequency_stride=15", "model.time_stride=16"),
            "strides are set to 15 x 16, but the pickled model has 16 x",
        ),
    ],
)
def test_settings_that_contradict_the_file_are_an_error(planned, said, words):
    with pytest.raises(ConfigurationError, match=words):
        planned(model(), *said)


def test_another_head_leaves_the_encoder(planned, tmp_path):
    module = model(between=(nn.GELU(),))
    assert planned(module, "model.head=none").head == "none"
    with open_checkpoint(tmp_path / "model.pth") as checkpoint:
        found = inspect(checkpoint, Config(model=compose("model=custom").model), ["model=custom"])
    assert (found.verdict, found.head) == ("recognised", "none")
    assert "GELU" in found.no_head


def test_a_state_dict_says_none_of_it(planned):
    state_dict = model(heads=4).state_dict()
    spec = planned(state_dict, *TINY_OVERRIDES[-1:], "model.frequency_stride=16", "model.time_stride=16", wrap=dict)
    assert spec.geometry.num_attention_heads == 1
