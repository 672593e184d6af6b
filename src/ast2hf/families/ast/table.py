"""The table for models that keep their encoder under ``v.``: AST, SSAST, Patch-Mix."""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families import heads, vit
from ast2hf.families.base import CLASSIFICATION, encoder_only
from ast2hf.families.exact import chosen
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule, Table, rename

PREFIX = "v."
HEAD = "mlp_head"

_NO_HEAD = "classifier; model.head=none converts the encoder alone"


def table(
    head: str, shapes: Mapping[str, Sizes], exact_epsilon: bool, *, module: str = HEAD, projection: Rule | None = None,
    drops: tuple[Drop, ...] = (),
) -> Table:  # fmt: skip
    """See :meth:`ast2hf.families.base.Family.table`. ``module``: the name of the classifier."""
    positions = rename(PREFIX + "pos_embed", vit.POSITIONS, (1, "positions", "hidden"))
    encoder = vit.encoder(PREFIX, positions, projection)
    drops = (*vit.imagenet_heads(PREFIX), *drops)
    if head == CLASSIFICATION:
        layout = heads.layout(shapes, module) if shapes else heads.default(module)
        return chosen((*encoder, *heads.table(layout), *drops), exact_epsilon)
    apart = tuple(
        Drop(name, _NO_HEAD, shape, apart=True) for name, shape in shapes.items() if name.startswith(module + ".")
    )
    return chosen((*encoder_only(encoder, _NO_HEAD), *apart, *drops), exact_epsilon)
