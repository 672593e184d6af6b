"""The first step: recognise a checkpoint, ask about it, or refuse it. Nothing is guessed.

Names and shapes settle most of it. A few values help further: an ImageNet classifier that is all zeros, a layer norm of
ones and zeros. If two functions have the same tensors, the user is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ast2hf import matches, places
from ast2hf.checkpoint.candidates import optimizer_state
from ast2hf.config import Config, Variant
from ast2hf.errors import InputError, Question, QuestionError, printable
from ast2hf.families import FAMILIES, foreign, heads
from ast2hf.matches import Match
from ast2hf.places import Place
from ast2hf.weighing import weigh

if TYPE_CHECKING:
    from ast2hf.checkpoint.state_dict import Checkpoint

_OPTIMIZER = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "sum"}
"""The state that torch's optimizers keep for each parameter."""


@dataclass(frozen=True)
class Recognition:
    """``matches``: what the checkpoint can be, the likeliest first; exactly one if there is no ``question``.

    ``others``: places in the file that were not chosen. ``evidence``: sentences.
    """

    matches: tuple[Match, ...]
    question: Question | None
    evidence: tuple[str, ...]
    others: tuple[Place, ...]

    @property
    def match(self) -> Match:
        """The only match. Raises QuestionError if there are several."""
        if self.question is not None:
            raise QuestionError(self.question)
        return self.matches[0]


def recognise(checkpoint: Checkpoint, config: Config, variant: Variant) -> Recognition:
    """Recognise ``checkpoint`` from its tensors and from what the user set.

    The user can set key and prefix in ``config``, family and pooling in ``variant``. Raises InputError if it cannot be
    converted or contradicts these settings.
    """
    every = places.find(checkpoint)
    if not every:
        raise _refusal(checkpoint)
    chosen = _said_family(_said_place(every, config), variant)
    different = places.distinct(chosen)
    here = {place.where for place in different}  # places that a setting has narrowed down are no longer equal
    others = tuple(place for place in every if place.where not in here)
    if len(different) > 1:
        found = [match for place in different for match in matches.find(checkpoint, place, variant)]
        return Recognition(tuple(found), places.question(different), (), others)
    left, question, evidence = weigh(list(matches.find(checkpoint, different[0], variant)), variant)
    return Recognition(tuple(left), question, tuple(evidence), others)


def require_head(match: Match) -> None:
    """Raise InputError if ``match`` cannot become a classifier."""
    if match.no_head is not None:
        raise InputError(match.no_head, f"{heads.REMEDY}; {heads.SAY_PLAIN}" if match.may_be_plain else heads.REMEDY)


def _said_place(every: Sequence[Place], config: Config) -> list[Place]:
    """The places with the key and prefix that ``config`` names."""
    chosen = list(every)
    wanted: tuple[tuple[str, str | None, Callable[[Place], str]], ...] = (
        ("checkpoint_key", config.checkpoint_key, lambda place: place.key),
        ("checkpoint_prefix", config.checkpoint_prefix, lambda place: place.prefix),
    )
    for setting, said, of in wanted:
        if said is None:
            continue
        known = dict.fromkeys(of(place) for place in chosen)
        chosen = [place for place in chosen if of(place) == said]
        if not chosen:
            shown = ", ".join(printable(repr(value), 60) for value in known)
            raise InputError(
                f"the checkpoint has no model under {setting}={printable(said, 60)}", f"choose one of: {shown}"
            )
    return chosen


def _said_family(chosen: list[Place], variant: Variant) -> list[Place]:
    """The places that can be of the family that ``variant`` names."""
    if variant.family is None:
        return chosen
    said = FAMILIES[variant.family]
    found = []
    for place in chosen:
        families = tuple(family for family in place.families if family is said)
        with_head = tuple(family for family in place.with_head if family is said)
        if families or with_head:
            found.append(replace(place, families=families, with_head=with_head))
    if not found:
        titles = ", ".join(dict.fromkeys(f.title for place in chosen for f in (*place.families, *place.with_head)))
        raise InputError(
            f"model.family={said.name} means {said.title}, but the checkpoint's tensors are those of {titles}",
            "correct model.family, or leave it out",
        )
    return found


def _refusal(checkpoint: Checkpoint) -> InputError:
    """The error that names what the file is instead, judged by its largest state dict."""
    shapes = [
        {name: tensor.shape for name, tensor in candidate.tensors.items()}
        for candidate in sorted(checkpoint.candidates, key=lambda candidate: -len(candidate.tensors))
    ]
    if shapes and all(_is_optimizer(candidate) for candidate in shapes):
        return optimizer_state()
    known = [candidate for candidate in shapes if foreign.find(candidate) is not None]
    return foreign.refusal((known or shapes or [{}])[0], places.almost(checkpoint))


def _is_optimizer(names: Iterable[str]) -> bool:
    return all(name.rpartition(".")[2] in _OPTIMIZER for name in names)
