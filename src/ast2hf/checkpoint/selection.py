"""Choose the tensors of a model among the candidates of a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ast2hf.checkpoint.candidates import Candidate, Keys
from ast2hf.checkpoint.tensor_meta import TensorMeta
from ast2hf.errors import InputError, printable

_SHOWN = 10
"""The number of kinds of unread objects that a note lists."""


@dataclass(frozen=True)
class Part:
    """The tensors of the candidate at ``keys`` whose names begin with ``prefix``, which ``rename`` replaces.

    ``only``: if given, only tensors whose names without the prefix are in it.
    """

    keys: Keys = ()
    prefix: str = ""
    rename: str = ""
    only: Collection[str] | None = None

    def takes(self, name: str) -> bool:
        """Whether the tensor that the file calls ``name`` is in this part."""
        return name.startswith(self.prefix) and (self.only is None or name.removeprefix(self.prefix) in self.only)

    def renamed(self, name: str) -> str:
        """The name in the state dict of the tensor that the file calls ``name``."""
        return self.rename + name.removeprefix(self.prefix)


class Named(NamedTuple):
    """A tensor and its name in the file."""

    name: str
    tensor: TensorMeta


class Chosen(NamedTuple):
    """``tensors``: by name in the state dict. ``outside`` and ``notes``: as in StateDict."""

    tensors: dict[str, Named]
    outside: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]


def choose(candidates: Sequence[Candidate], parts: Sequence[Part]) -> Chosen:
    """The tensors of ``parts``.

    Raises InputError if a part has no candidate or no tensors, or if two tensors would have the same name.
    """
    by_keys = {candidate.keys: candidate for candidate in candidates}
    tensors: dict[str, Named] = {}
    for part in parts:
        candidate = by_keys.get(part.keys)
        if candidate is None:
            raise InputError(
                f"the checkpoint contains no state dict under {shown(part.keys)}",
                f"choose one of {', '.join(shown(keys) for keys in list(by_keys)[:_SHOWN])}",
            )
        taken = {part.renamed(name): Named(name, t) for name, t in candidate.tensors.items() if part.takes(name)}
        if not taken:
            raise InputError(
                f"the checkpoint contains no tensor whose name begins with {printable(part.prefix, 60)}",
                "use another prefix",
            )
        _require_usable(candidate, part)
        if both := tensors.keys() & taken.keys():
            raise InputError(
                f"two tensors of the checkpoint would have the name {printable(min(both), 60)}", "choose one of them"
            )
        tensors |= taken
    outside = {
        name: tensor.shape
        for candidate in (by_keys[keys] for keys in dict.fromkeys(part.keys for part in parts))
        for name, tensor in candidate.tensors.items()
        if not any(part.keys == candidate.keys and part.takes(name) for part in parts)
    }
    return Chosen(tensors, outside, tuple(_notes(parts)))


def shown(keys: Keys) -> str:
    """``keys`` in a readable form."""
    return printable("/".join(map(str, keys)), 100) if keys else "its root"


def unread_note(opaque: Mapping[str, int]) -> Iterator[str]:
    """A line that lists what was left unread; nothing if everything was read."""
    if opaque:
        kinds = [f"{printable(name, 100)} ({count:,})" for name, count in list(opaque.items())[:_SHOWN]]
        more = f" and {len(opaque) - _SHOWN} more kinds of objects" if len(opaque) > _SHOWN else ""
        yield f"left unread: {', '.join(kinds)}{more}"


def _require_usable(candidate: Candidate, part: Part) -> None:
    for key in candidate.nameless:
        raise InputError(f"{key} is not a valid tensor name", "re-save the model's state dict")
    for name, what in candidate.unusable.items():
        if part.takes(name):
            raise InputError(
                f"the checkpoint contains {what} ({printable(name, 100)})", "save the weights as plain float32 tensors"
            )


def _notes(parts: Sequence[Part]) -> Iterator[str]:
    if any(part.keys for part in parts):
        found = dict.fromkeys(shown(part.keys) for part in parts)
        yield f"the state dict was found under {' and '.join(found)}"
    prefixes = dict.fromkeys(part.prefix for part in parts if part.prefix)
    if prefixes:
        yield f"removed from the tensor names: prefix {', '.join(printable(prefix, 100) for prefix in prefixes)}"
