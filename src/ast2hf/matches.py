"""Candidate interpretations of a state dict in a checkpoint: each a family, a pooling, and the tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ast2hf import built
from ast2hf.config import Variant
from ast2hf.errors import InputError, printable
from ast2hf.families import heads
from ast2hf.families.base import CLASSIFICATION, Family, Values
from ast2hf.mapping.rules import Rule
from ast2hf.places import HEAD, Place

if TYPE_CHECKING:
    from ast2hf.checkpoint.state_dict import Checkpoint, StateDict

UNTRAINED = "the classifier was never trained"
"""The beginning of the reason why such a model is not a classifier."""


@dataclass(frozen=True)
class Match:
    """One interpretation of the checkpoint. ``no_head``: why it cannot become a classifier; None if it can.

    ``head_norm``: as in ``model.head_norm``, set by the user or read from a pickled module.
    """

    family: Family
    pooling: str
    place: Place
    state_dict: StateDict
    no_head: str | None
    head_norm: str | None = None

    @property
    def head_apart(self) -> bool:
        """Whether its head is a classifier beside the model rather than the model's own."""
        return any(name.startswith(HEAD) for name in self.state_dict.tensors)

    @property
    def may_be_plain(self) -> bool:
        """Whether it could become a classifier if its head had a layer norm without parameters."""
        shapes, module = self.state_dict.shapes, self.family.classifier
        return self.no_head == heads.why_not(shapes, module) and heads.linear_alone(shapes, module)

    @property
    def values(self) -> Values:
        return lambda name: self.state_dict.values(name) if name in self.state_dict.tensors else None


def find(checkpoint: Checkpoint, place: Place, variant: Variant) -> Iterator[Match]:
    """All that ``place`` can be, given what ``variant`` sets. Raises InputError if nothing is left."""
    found = False
    for families, with_head in ((place.families, False), (place.with_head, True)):
        if with_head and families and place.rivals:
            shown = ", ".join(printable(key, 60) for key in place.rivals)
            raise InputError(
                f"several state dicts beside the model could be its classifier ({shown})",
                "save only the model and its classifier, or set model.family=ast to use the classifier in the model",
            )
        state_dict = checkpoint.select(place.parts(with_head=with_head)) if families else None
        for family in families:
            for pooling in family.poolings:
                if variant.pooling in (None, pooling):
                    assert state_dict is not None
                    found = True
                    yield _match(family, pooling, place, state_dict, variant)
    if not found:
        titles = ", ".join(f"{f.title} ({', '.join(f.poolings)})" for f in (*place.families, *place.with_head))
        raise InputError(
            f"model.pooling={variant.pooling} does not fit the checkpoint's family: {titles}",
            "correct model.pooling, or leave it out",
        )


def _match(family: Family, pooling: str, place: Place, state_dict: StateDict, variant: Variant) -> Match:
    heads.require_no_contradiction(state_dict.shapes, family.classifier, variant.head_norm)
    match = Match(family, pooling, place, state_dict, None, variant.head_norm)
    match = replace(match, head_norm=variant.head_norm or built.head_norm(match))
    reason = family.heads(pooling, state_dict.shapes, match.head_norm)[CLASSIFICATION]
    return replace(match, no_head=reason or built.why_no_head(match) or _untrained(match))


def _untrained(match: Match) -> str | None:
    """Why the head is not a usable classifier, if its layer norm was never trained; else None."""
    norm = {
        target: rule.sources[0]
        for rule in match.family.table(CLASSIFICATION, match.state_dict.shapes, head_norm=match.head_norm)
        if isinstance(rule, Rule) and rule.sources
        for target in rule.targets
    }
    weight, bias = (match.values(norm.get(f"classifier.layernorm.{part}", "")) for part in ("weight", "bias"))
    if weight is None or bias is None or not heads.untrained(weight, bias):
        return None
    name = norm["classifier.layernorm.weight"].rpartition(".")[0]
    return f"{UNTRAINED}: its layer norm {name} is exactly ones and zeros, as any training step would have changed"
