"""The table for models that keep their encoder under ``v.``: AST, SSAST, Patch-Mix."""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families import vit
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule, Table, rename

PREFIX = "v."
POSITIONS = PREFIX + "pos_embed"


def table(
    head: str, shapes: Mapping[str, Sizes], exact_epsilon: bool, *, classifier: str, projection: Rule | None = None,
    drops: tuple[Drop, ...] = (), head_norm: str | None = None,
) -> Table:  # fmt: skip
    """See :meth:`ast2hf.families.base.Family.table`. ``classifier``: the name of the module that is the head.

    ``projection``: the rule for a kernel that is not square. ``drops``: unneeded tensors that only this family has.
    """
    positions = rename(POSITIONS, vit.POSITIONS, (1, "positions", "hidden"))
    encoder = vit.encoder(PREFIX, positions, projection)
    drops = (*vit.imagenet_heads(PREFIX), *drops)
    return vit.with_head(head, encoder, drops, classifier, shapes, exact_epsilon, head_norm)
