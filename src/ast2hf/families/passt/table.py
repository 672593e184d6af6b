"""The table for models whose positions are the sum of rows and columns: PaSST, MAEST."""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families import vit
from ast2hf.mapping.ops import Sizes, SummedPositions
from ast2hf.mapping.rules import Drop, Rule, Table

HEAD = "head"
TOKENS = "new_pos_embed"
ROWS = "freq_new_pos_embed"
COLUMNS = "time_new_pos_embed"

_SECOND = "classifier of the distillation token; the forward uses only the other one, on the mean of both tokens"


def table(
    head: str, shapes: Mapping[str, Sizes], exact_epsilon: bool, drops: tuple[Drop, ...], head_norm: str | None
) -> Table:
    """See :meth:`ast2hf.families.base.Family.table`. ``drops``: in addition to what all these families drop."""
    columns = shapes[COLUMNS][3] if COLUMNS in shapes else "columns"
    positions = Rule(
        (TOKENS, ROWS, COLUMNS),
        (vit.POSITIONS,),
        SummedPositions(),
        ((1, 2, "hidden"), (1, "hidden", "rows", 1), (1, "hidden", 1, columns)),
    )
    encoder = vit.encoder("", positions)
    drops = (
        Drop("head_dist.weight", _SECOND, ("labels", "hidden")),
        Drop("head_dist.bias", _SECOND, ("labels",)),
        *drops,
    )
    return vit.with_head(head, encoder, drops, HEAD, shapes, exact_epsilon, head_norm)
