"""Every tensor of a recognised checkpoint is used, or left out with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from ast2hf import leftovers
from ast2hf.config import Variant
from ast2hf.errors import InputError
from ast2hf.families.geometry import Geometry
from ast2hf.leftovers import Leftovers
from ast2hf.mapping.plan import Plan, make_plan
from ast2hf.mapping.rules import expand
from ast2hf.places import Place
from ast2hf.recognition import Match


def left_over(match: Match, geometry: Geometry, variant: Variant, others: Sequence[Place]) -> Leftovers:
    """Tensors of the checkpoint that no rule for ``match`` names. ``others``: places that were not chosen."""
    table = match.family.table(variant.head, match.state_dict.shapes, variant.exact_epsilon)
    return leftovers.find(match.state_dict, expand(table, geometry.num_hidden_layers), others)


def cover(
    match: Match, geometry: Geometry, variant: Variant, others: Sequence[Place], unused: str | None
) -> tuple[Plan, dict[str, str]]:  # fmt: skip
    """The plan for ``match``, and what it leaves out beside what its table drops, with the reasons.

    Raises InputError where tensors are missing, of other shapes, or unknown.
    """
    shapes = match.state_dict.shapes
    table = match.family.table(variant.head, shapes, variant.exact_epsilon)
    left = left_over(match, geometry, variant, others)
    here = {name: shape for name, shape in shapes.items() if name not in left.known and name not in left.outside}
    rest = {name: shape for name, shape in here.items() if name not in left.inside}

    def plan(of: dict[str, tuple[int, ...]]) -> Plan:
        return make_plan(table, geometry.num_hidden_layers, geometry.dimensions(), of)

    try:
        found = plan(rest)
    except InputError:
        return plan(here), {}  # which tells what is unknown beside what does not fit
    match.state_dict.require_floats(found.sources)
    return found, left.dropped(unused)
