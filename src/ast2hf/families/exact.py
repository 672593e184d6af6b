"""Both epsilons of the original in a model that has one: ``model.exact_epsilon=true``.

The original's layer norms have 1e-6, that of its head 1e-5; transformers' configuration has one value for all. The
layer norm of c * x with epsilon e is that of x with e / c ** 2. So 1e-5 is written, and all that is added to the
residual stream is multiplied by sqrt(10): the norms before, between and after the blocks then compute what 1e-6 does,
and what the last of them gives, the pooled output and the head are on the original's scale. The states between the
blocks alone are SCALE times the original's. The price: these tensors are no longer the checkpoint's bits.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from ast2hf.mapping.ops import Scaled
from ast2hf.mapping.rules import Rule, Table

BLOCK_EPSILON = 1e-6
HEAD_EPSILON = 1e-5
"""Of the original: timm's vision transformer, and torch's default. The latter is then ``layer_norm_eps``."""

SCALE = sqrt(HEAD_EPSILON / BLOCK_EPSILON)

_RESIDUAL = (
    "embeddings.cls_token",
    "embeddings.distillation_token",
    "embeddings.position_embeddings",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embeddings.projection.bias",
    "}.attention.output.dense.weight",
    "}.attention.output.dense.bias",
    "}.output.dense.weight",
    "}.output.dense.bias",
)
"""How the targets end that are added to the residual stream, ``{layer}`` not filled in."""


def chosen(table: Table, exact_epsilon: bool) -> Table:
    """``table`` with the residual stream scaled, if ``exact_epsilon``; else as it is."""
    return tuple(_scaled(rule) if isinstance(rule, Rule) else rule for rule in table) if exact_epsilon else table


def _scaled(rule: Rule) -> Rule:
    in_stream = all(target.endswith(_RESIDUAL) for target in rule.targets)
    return replace(rule, op=Scaled(rule.op, SCALE)) if in_stream else rule
