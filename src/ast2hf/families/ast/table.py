"""The table for models that keep their encoder under ``v.``: AST, SSAST, Patch-Mix."""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families import heads, vit
from ast2hf.families.base import CLASSIFICATION, encoder_only
from ast2hf.families.exact import chosen
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule, Table, rename

PREFIX = "v."
POSITIONS = PREFIX + "pos_embed"

_NO_HEAD = "classifier; model.head=none converts the encoder alone"


def table(
    head: str, shapes: Mapping[str, Sizes], exact_epsilon: bool, *, classifier: str, projection: Rule | None = None,
    drops: tuple[Drop, ...] = (),
) -> Table:  # fmt: skip
    """See :meth:`ast2hf.families.base.Family.table`. ``classifier``: the name of the module that is the head.

    ``projection``: the rule for a kernel that is not square. ``drops``: what the family alone has and does not need.
    """
    positions = rename(POSITIONS, vit.POSITIONS, (1, "positions", "hidden"))
    encoder = vit.encoder(PREFIX, positions, projection)
    drops = (*vit.imagenet_heads(PREFIX), *drops)
    if head == CLASSIFICATION:
        layout = heads.layout(shapes, classifier) if shapes else heads.default(classifier)
        return chosen((*encoder, *heads.table(layout), *drops), exact_epsilon)
    apart = inside(classifier, _NO_HEAD, shapes, apart=True)
    return chosen((*encoder_only(encoder, _NO_HEAD), *apart, *drops), exact_epsilon)


def inside(module: str, reason: str, shapes: Mapping[str, Sizes], apart: bool = False) -> tuple[Drop, ...]:
    """Drops for all tensors of ``module``; without ``shapes``, for those of a head as the authors save it."""
    if not shapes:
        rules = heads.table(heads.default(module))
        return tuple(Drop(rule.sources[0], reason, rule.shapes[0], apart) for rule in rules)
    return tuple(Drop(name, reason, shape, apart) for name, shape in shapes.items() if name.startswith(module + "."))
