"""Models for tests: a tiny one, and the variants that have a file in conf/model."""

from __future__ import annotations

from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from ast2hf import settings
from ast2hf.config import Config, Variant
from ast2hf.families.ast import AST
from ast2hf.families.geometry import Geometry
from support import ROOT

TINY = Geometry(
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=1,
    num_labels=7,
    patch_size=16,
    frequency_stride=16,
    time_stride=16,
    max_length=64,
    num_mel_bins=128,
)
"""A model of some 0.4 MB, converted and proved in well under a second (imports aside)."""

TINY_OVERRIDES = (
    "model=ast_16_16",
    "model.hidden_size=64",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=1",
    "model.num_labels=7",
    "model.max_length=64",
)
"""The same as TINY on the command line."""

VARIANTS = tuple(sorted(path.stem for path in (ROOT / "conf" / "model").glob("ast_*.yaml")))
"""The choices of ``model=`` that have a published checkpoint."""


def compose(*overrides: str) -> Config:
    """The configuration of a command line, without running it."""
    settings.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = settings.typed(hydra_compose("config", overrides=list(overrides)))
    settings.resolve(config)
    return config


def model_of(variant: str) -> Variant:
    return compose(f"model={variant}").model


def geometry_of(variant: str) -> Geometry:
    return AST.geometry(model_of(variant), {})
