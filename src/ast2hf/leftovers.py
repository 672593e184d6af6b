"""Tensors of a checkpoint that no part of the model uses: left out with a reason, or listed and refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ast2hf.errors import InputError, printable
from ast2hf.families import inert
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule
from ast2hf.places import Place

if TYPE_CHECKING:
    from ast2hf.checkpoint.state_dict import StateDict

DROP = "drop"

_ANOTHER = "part of another model in the file, which was not chosen"
_UNUSED = "not part of the model; left out by unused=drop"

_SHOWN = 20
"""The number of tensors that an error lists."""


@dataclass(frozen=True)
class Leftovers:
    """Tensors of a checkpoint that no rule names.

    ``known``: tensors known to be unnecessary, each with the reason. ``inside``: unknown tensors inside the model,
    named without its prefix; ``outside``: all other unknown tensors, named as in the file.
    """

    known: Mapping[str, str]
    inside: Mapping[str, Sizes]
    outside: Mapping[str, Sizes]

    def dropped(self, unused: str | None) -> dict[str, str]:
        """All of them, each with the reason for leaving it out.

        A tensor inside the model is part of its computation (an adapter, a scale), whatever its name: leaving it out
        would give another function. Raises InputError for such tensors, and for unknown ones outside the model unless
        ``unused`` is drop.
        """
        if self.inside:
            raise InputError(
                f"the checkpoint has unknown tensors inside the model ({_listed(self.inside)}), so it does not compute "
                "what its family does",
                "merge whatever was added to the model (such as an adapter) into its weights, and save it again",
            )
        if self.outside and unused != DROP:
            raise InputError(
                f"the checkpoint has tensors that are not part of the model ({_listed(self.outside)})",
                "set unused=drop to leave them out, if no result depends on them",
            )
        return {**self.known, **dict.fromkeys(self.outside, _UNUSED)}


def find(state_dict: StateDict, rules: Sequence[Rule | Drop], others: Sequence[Place]) -> Leftovers:
    """The tensors that ``rules`` (expanded) do not name. ``others``: places in the file that were not chosen."""
    sources = {name for rule in rules if isinstance(rule, Rule) for name in rule.sources}
    named = sources | {rule.source for rule in rules if isinstance(rule, Drop)}
    roots = {name.partition(".")[0] for name in sources}
    keys = {part.keys for part in state_dict.parts}
    prefixes = tuple(place.prefix for place in others if place.prefix and place.candidate.keys in keys)
    models = (*prefixes, *(part.prefix for part in state_dict.parts))
    known: dict[str, str] = {}
    inside: dict[str, Sizes] = {}
    outside: dict[str, Sizes] = {}
    for name, shape in state_dict.shapes.items():
        if name in named:
            continue
        if name.partition(".")[0] in roots:  # whatever its name: no tensor inside the model is known to be inert
            inside[name] = shape
        elif (reason := inert.reason(name, shape)) is not None:
            known[name] = reason
        else:
            outside[name] = shape
    for name, shape in state_dict.outside.items():
        if (reason := _ANOTHER if _longest(name, models) in prefixes else inert.reason(name, shape)) is not None:
            known[name] = reason
        else:
            outside[name] = shape
    return Leftovers(known, inside, outside)


def _longest(name: str, prefixes: Sequence[str]) -> str:
    """The longest of ``prefixes`` that ``name`` begins with: of the model it belongs to. Empty if there is none."""
    return max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")


def _listed(tensors: Mapping[str, Sizes]) -> str:
    shown = [f"{printable(name, 100)} {list(shape)}" for name, shape in list(tensors.items())[:_SHOWN]]
    more = f" and {len(tensors) - _SHOWN} more" if len(tensors) > _SHOWN else ""
    return f"{', '.join(shown)}{more}"
