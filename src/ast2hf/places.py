"""Where in a checkpoint the state dict of a model is: under which keys, with which prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from ast2hf.errors import CHOOSE, Choice, InputError, Question, printable
from ast2hf.families import FAMILIES
from ast2hf.families.base import Family
from ast2hf.families.signs import MAX_PREFIXES, prefixes
from ast2hf.mapping.ops import Sizes

if TYPE_CHECKING:
    from ast2hf.checkpoint.candidates import Candidate, Keys
    from ast2hf.checkpoint.selection import Part
    from ast2hf.checkpoint.state_dict import Checkpoint

ROOT = "/"
"""What ``checkpoint_key`` calls the outermost mapping of a file."""

HEAD = "classifier."
"""Prefix for the names of a head that is a separate state dict."""

_HEAD_SHAPES = {"0.weight": 1, "0.bias": 1, "1.weight": 2, "1.bias": 1}
"""Number of axes of each tensor of such a head: a layer norm and a linear layer."""

_AVERAGES = ("ema", "swa", "avg", "average")


@dataclass(frozen=True)
class Place:
    """A state dict in the file. ``shapes``: of the tensors in ``candidate`` under ``prefix``, with the prefix removed.

    ``families``: those that fit without a separate classifier. ``with_head``: those that fit only with it. The separate
    classifier is among the tensors, or it is ``head``, a state dict beside this one. ``rivals``: keys of other state
    dicts that could also be the head, if none of them is named so.
    """

    candidate: Candidate
    prefix: str
    shapes: Mapping[str, Sizes]
    families: tuple[Family, ...]
    with_head: tuple[Family, ...] = ()
    head: Candidate | None = None
    head_prefix: str = ""
    rivals: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """In the notation of ``checkpoint_key``."""
        return key_of(self.candidate)

    @property
    def where(self) -> tuple[Keys, str]:
        """What distinguishes it from the other places of the file."""
        return self.candidate.keys, self.prefix

    @property
    def unnamed_head(self) -> Candidate | None:
        """The state dict beside this one that is not called a classifier, but has the shapes of one."""
        return None if self.head is None or _is_called_head(self.head) else self.head

    def parts(self, *, with_head: bool) -> tuple[Part, ...]:
        """The parts to select, with the separate classifier or without it."""
        from ast2hf.checkpoint.selection import Part

        keys, apart = self.candidate.keys, {name for name in self.shapes if name.startswith(HEAD)}
        if not with_head:
            return (Part(keys, self.prefix, only=self.shapes.keys() - apart if apart else None),)
        alone = Part(keys, self.prefix)
        return (alone,) if self.head is None else (alone, Part(self.head.keys, self.head_prefix, HEAD))


def key_of(candidate: Candidate) -> str:
    """The keys that lead to ``candidate``, in the notation of ``checkpoint_key``."""
    return "/".join(map(str, candidate.keys)) or ROOT


def find(checkpoint: Checkpoint) -> list[Place]:
    """Every place in the file whose tensors fit a family, in file order. Raises InputError if there are too many."""
    anchors = dict.fromkeys(family.anchors[0] for family in FAMILIES.values())
    found: list[Place] = []
    for candidate in checkpoint.candidates:
        here = dict.fromkeys(prefix for anchor in anchors for prefix in prefixes(candidate.tensors, anchor))
        if len(here) >= MAX_PREFIXES:
            raise InputError(
                f"the checkpoint has {len(here)} or more models under {printable(key_of(candidate), 60)}",
                "save only the state dict of the one you need",
            )
        found += filter(None, (_place(checkpoint, candidate, prefix) for prefix in here))
        if len(found) >= MAX_PREFIXES:
            raise InputError(
                f"the checkpoint has {len(found)} or more models", "save only the state dict of the one you need"
            )
    return found


def almost(checkpoint: Checkpoint) -> str | None:
    """The title of a family whose first tensor is present although no place fits; None if there is none."""
    for family in FAMILIES.values():
        if any(prefixes(candidate.tensors, family.anchors[0]) for candidate in checkpoint.candidates):
            return family.title
    return None


def _place(checkpoint: Checkpoint, candidate: Candidate, prefix: str) -> Place | None:
    shapes = _without(candidate, prefix)
    alone = {name: shape for name, shape in shapes.items() if not name.startswith(HEAD)}
    place = Place(candidate, prefix, shapes, tuple(family for family in FAMILIES.values() if family.fits(alone)))

    def more(joined: Mapping[str, Sizes]) -> tuple[Family, ...]:
        return tuple(f for f in FAMILIES.values() if f not in place.families and f.fits(joined))

    if len(alone) < len(shapes):
        place = replace(place, with_head=more(shapes))
    else:
        rivals: list[str] = []
        for head, head_prefix in islice(_heads(checkpoint, candidate, shapes), MAX_PREFIXES):
            joined = {HEAD + name: shape for name, shape in _without(head, head_prefix).items()}
            if found := more({**shapes, **joined}):
                if place.head is None:
                    place = replace(place, with_head=found, head=head, head_prefix=head_prefix)
                rivals.append(key_of(head))
        if len(rivals) > 1 and place.unnamed_head is not None:
            place = replace(place, rivals=tuple(rivals))
    return place if place.families or place.with_head else None


def _without(candidate: Candidate, prefix: str) -> dict[str, Sizes]:
    return {
        name.removeprefix(prefix): tensor.shape
        for name, tensor in candidate.tensors.items()
        if name.startswith(prefix) and name != prefix
    }


def _heads(checkpoint: Checkpoint, model: Candidate, shapes: Mapping[str, Sizes]) -> Iterator[tuple[Candidate, str]]:
    """State dicts beside ``model`` that are a head of its width. One named ``classifier`` comes first."""
    width = next((shape[-1] for name, shape in shapes.items() if name.endswith("cls_token") and shape), None)
    beside = [c for c in checkpoint.candidates if c is not model and c.keys[:-1] == model.keys[:-1] and c.keys]
    for candidate in sorted(beside, key=lambda c: not _is_called_head(c)):
        for prefix in prefixes(candidate.tensors, "0.weight"):
            found = _without(candidate, prefix)
            if len(candidate.tensors) > len(found) or {n: len(shape) for n, shape in found.items()} != _HEAD_SHAPES:
                continue
            if found["0.weight"] == (width,) and found["1.weight"][1:] == (width,):
                yield candidate, prefix


def _is_called_head(candidate: Candidate) -> bool:
    return candidate.keys[-1:] == (HEAD.rstrip("."),)


def distinct(places: Sequence[Place]) -> list[Place]:
    """``places`` without aliases: those whose tensors are the same bytes of the file as another's."""
    found: list[Place] = []
    for place in places:
        if not any(_same(place, other) for other in found):
            found.append(place)
    return found


def _same(a: Place, b: Place) -> bool:
    if a.shapes.keys() != b.shapes.keys() or a.head is not b.head:
        return False
    return all(a.candidate.tensors[a.prefix + n] == b.candidate.tensors[b.prefix + n] for n in a.shapes)


def question(places: Sequence[Place]) -> Question:
    """The question which of ``places`` is meant. Weight averages come first: they are what authors publish.

    Raises InputError if no answer distinguishes two of them, for example those under the keys 1 and "1".
    """
    named: set[tuple[str, str]] = set()
    for place in places:
        if (place.key, place.prefix) in named:
            raise InputError(
                f"the checkpoint holds two models with the same name, {_shown(place)}",
                "save only the state dict of the one you need",
            )
        named.add((place.key, place.prefix))
    ordered = sorted(places, key=lambda place: not _average(place))
    shown = ", ".join(_shown(place) for place in ordered)
    return Question(
        f"the checkpoint holds {len(places)} models ({shown}) and does not say which one to use",
        tuple(Choice(" ".join(_words(place, places)), _meaning(place), _evidence(place)) for place in ordered),
        " ".join(dict.fromkeys(f"{word.partition('=')[0]}={CHOOSE}" for p in places for word in _words(p, places))),
    )


def _words(place: Place, places: Sequence[Place]) -> Iterator[str]:
    """The overrides that select ``place`` among ``places``."""
    if len({p.key for p in places}) > 1:
        yield f"checkpoint_key={place.key}"
    if len({p.prefix for p in places if p.key == place.key}) > 1:
        yield f"checkpoint_prefix={place.prefix}"


def _shown(place: Place) -> str:
    return printable(place.prefix if place.key == ROOT else f"{place.key} {place.prefix}".strip(), 60) or "no prefix"


def _meaning(place: Place) -> str:
    titles = " or ".join(family.title for family in (*place.families, *place.with_head))
    behind = f" that begin with {printable(place.prefix, 60)}" if place.prefix else ""
    return f"the {len(place.shapes)} tensors{behind} under {printable(place.key, 60)}, {titles}"


def _average(place: Place) -> bool:
    words = f"{place.key} {place.prefix}".lower().replace(".", "_").replace("/", "_").replace(" ", "_").split("_")
    return any(word in _AVERAGES for word in words)


def _evidence(place: Place) -> str:
    return "its name suggests an average over the training" if _average(place) else ""
