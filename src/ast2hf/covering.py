"""Every tensor of a recognised checkpoint is used, or left out with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ast2hf import leftovers
from ast2hf.errors import InputError
from ast2hf.leftovers import Leftovers
from ast2hf.mapping.plan import Plan, make_plan
from ast2hf.mapping.rules import Table, expand
from ast2hf.matches import Match
from ast2hf.places import Place


def left_over(match: Match, table: Table, layers: int, others: Sequence[Place]) -> Leftovers:
    """Tensors of the checkpoint that ``table`` does not name. ``others``: places that were not chosen."""
    return leftovers.find(match.state_dict, expand(table, layers), others)


def cover(
    match: Match, table: Table, layers: int, dimensions: Mapping[str, int], others: Sequence[Place], unused: str | None
) -> tuple[Plan, dict[str, str]]:
    """The plan for ``match``, and the tensors left out in addition to those that ``table`` drops, with reasons.

    Raises InputError if tensors are missing, have other shapes, are not floating point, or are unknown.
    """
    left = left_over(match, table, layers, others)
    tensors = match.state_dict.shapes
    shapes = {name: shape for name, shape in tensors.items() if name not in left.known and name not in left.outside}
    known = {name: shape for name, shape in shapes.items() if name not in left.inside}
    try:
        plan = make_plan(table, layers, dimensions, known)
    except InputError:
        return make_plan(table, layers, dimensions, shapes), {}  # so that the error also lists the unknown ones
    match.state_dict.require_floats(plan.sources)
    return plan, left.dropped(unused)
