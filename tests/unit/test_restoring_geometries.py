"""There and back for models of other sizes: convert, then task=restore, gives the source."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from conftest import compose
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.authors_module import UNUSED, authors_module

from ast2hf import pipeline
from ast2hf.checkpoint import synthetic
from ast2hf.families import FAMILIES
from ast2hf.families.geometry import Geometry
from ast2hf.progress import Progress
from ast2hf.results import Conversion, Report

ONE_ROUNDING = 2**-23 * (1 + 1e-6)
"""Relative: half a unit in the last place for the scaled tensor, and half of one on the way back."""

KINDS = {
    "ast": (),
    "ast, both epsilons": ("model.exact_epsilon=true",),
    "ast, encoder": ("model.head=none",),
    "ssast": ("model.family=ssast", "model.pooling=cls"),
    "ssast, both epsilons": ("model.family=ssast", "model.pooling=cls", "model.exact_epsilon=true"),
    "ssast, encoder": ("model.family=ssast", "model.pooling=cls", "model.head=none"),
}

IN_THE_STREAM = ("cls_token", "dist_token", "pos_embed", "patch_embed.proj", "attn.proj", "mlp.fc2")
"""What both epsilons scale."""


@st.composite
def geometries(draw):
    """With two rows and columns of patches at least: the stride of a single one is no size of the model."""
    heads, patch = draw(st.integers(1, 3)), draw(st.sampled_from([4, 8, 16]))
    return Geometry(
        hidden_size=heads * draw(st.sampled_from([8, 16, 24])),
        num_hidden_layers=draw(st.integers(1, 3)),
        num_attention_heads=heads,
        num_labels=draw(st.integers(2, 9)),
        patch_size=patch,
        frequency_stride=draw(st.integers(patch // 2, patch)),
        time_stride=draw(st.integers(patch // 2, patch)),
        max_length=draw(st.integers(2 * patch, 5 * patch)),
        num_mel_bins=draw(st.integers(2 * patch, 3 * patch)),
    )


def run(*overrides):
    config = compose("experiment=offline", "tracking=off", *overrides)
    pipeline.run(conversion := Conversion(Report(config.model.name)), config, Progress())
    return conversion


def there_and_back(folder, family, geometry, seed, overrides):
    """The tensors of a synthetic checkpoint, those of the file that was restored, and the proof of the latter."""
    source, target = folder / "source.pth", folder / "restored.pth"
    synthetic.write(source, family, geometry, seed)
    run(
        "model=custom", "stats=audioset", "loss=ce", f"checkpoint={source}", f"output_dir={folder / 'model'}",
        f"model.num_attention_heads={geometry.num_attention_heads}",
        f"model.frequency_stride={geometry.frequency_stride}", f"model.time_stride={geometry.time_stride}",
        f"model.max_length={geometry.max_length}", f"model.num_mel_bins={geometry.num_mel_bins}", *overrides,
    )  # fmt: skip
    report = run("task=restore", "model=custom", f"folder={folder / 'model'}", f"checkpoint={target}").report
    return torch.load(source, weights_only=True), torch.load(target, weights_only=True), report


@settings(  # generation alone: to explain failures, all is traced, and the imports of torch then take minutes
    max_examples=8, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(kind=st.sampled_from(sorted(KINDS)), geometry=geometries(), seed=st.integers(0, 99))
def test_a_source_of_any_size_comes_back(kind, geometry, seed):
    family = FAMILIES[kind.partition(",")[0]]
    with tempfile.TemporaryDirectory() as folder:
        source, found, report = there_and_back(Path(folder), family, geometry, seed, KINDS[kind])
    assert report.status == "passed"
    assert report.family == family.name
    assert found.keys() == source.keys() - UNUSED
    for name, tensor in found.items():
        if "both epsilons" in kind and any(part in name for part in IN_THE_STREAM):
            assert ((tensor - source[name]).abs() <= source[name].abs() * ONE_ROUNDING).all(), name
        else:
            assert torch.equal(tensor, source[name]), name
    authors_module(geometry, imagenet=False).load_state_dict(found, strict=True)
