"""Both epsilons of the original in a model that has only one: ``model.exact_epsilon=true``.

The original's layer norms have an epsilon of 1e-6, and the one in its head 1e-5; transformers' configuration has a
single value for all. The layer norm of c * x with epsilon e equals that of x with e / c ** 2. So 1e-5 is written, and
everything added to the residual stream is multiplied by sqrt(10): the norms inside and after the blocks then compute
what they would with 1e-6, and the output of the last norm, the pooled output and the head keep the original's scale.
Only the states between the blocks are SCALE times the original's. The price: these tensors are no longer bit-identical
to the checkpoint's.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from ast2hf.mapping.ops import Scaled
from ast2hf.mapping.rules import Rule, Table

BLOCK_EPSILON = 1e-6
HEAD_EPSILON = 1e-5
"""Of the original: timm's vision transformer, and torch's default, which is written as ``layer_norm_eps``."""

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
"""Endings of the targets that are added to the residual stream, before ``{layer}`` is filled in."""


def chosen(table: Table, exact_epsilon: bool) -> Table:
    """``table`` with the residual stream scaled if ``exact_epsilon``, otherwise unchanged."""
    return tuple(_scaled(rule) if isinstance(rule, Rule) else rule for rule in table) if exact_epsilon else table


def _scaled(rule: Rule) -> Rule:
    in_stream = all(target.endswith(_RESIDUAL) for target in rule.targets)
    return replace(rule, op=Scaled(rule.op, SCALE)) if in_stream else rule
