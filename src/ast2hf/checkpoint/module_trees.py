"""A pickled ``torch.nn.Module``: the tensors in its ``_parameters``, ``_buffers`` and ``_modules``, by dotted name.

Its classes are neither needed nor imported. The names are those of its own ``state_dict()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

from ast2hf.checkpoint.container import HINT_RESAVE
from ast2hf.checkpoint.opaque import Opaque, odd_tensor
from ast2hf.checkpoint.tensor_meta import TensorMeta
from ast2hf.errors import InputError

Attributes = dict[object, object]

PARTS = ("_parameters", "_buffers", "_modules")
"""In the order of ``state_dict()``."""

_MAX_DEPTH = 100

MAX_ENTRIES = 200_000
"""Modules and tensors in all pickled modules of a file, each counted once per name."""

_MAX_PATH = 1000
"""Characters of a dotted name. Longer ones can be built from shared text and would take more memory than the file."""


class Built(NamedTuple):
    """A part of a module: the dotted name of its class, and its attributes as in the file."""

    kind: str
    settings: Attributes


class Flat(NamedTuple):
    """A module's tensors, its unusable entries (described in words) and its submodules, each by name."""

    tensors: dict[str, TensorMeta]
    unusable: dict[str, str]
    parts: dict[str, Built]


class ModuleReader:
    """Reads the modules of one file."""

    def __init__(self) -> None:
        self.left = MAX_ENTRIES
        self.read: set[int] = set()
        """The ids of the attribute dicts of all modules read so far."""

    def flatten(self, attributes: Attributes) -> Flat:
        """The contents of the module with these ``attributes``.

        Raises InputError if it contains itself, is nested too deeply, or has two tensors with the same name.
        """
        tensors: dict[str, TensorMeta] = {}
        unusable: dict[str, str] = {}
        parts: dict[str, Built] = {}
        todo = [("", attributes, 0)]
        while todo:
            prefix, module, depth = todo.pop()
            self.read.add(id(module))
            self._count(1)
            if depth > _MAX_DEPTH:
                raise _refusal(f"are nested more than {_MAX_DEPTH} deep or contain themselves")
            for name, value in self._tensors(module, prefix):
                if name in tensors or name in unusable:
                    raise _refusal("have two tensors with the same name")
                if type(value) is TensorMeta:
                    tensors[name] = value
                elif value is not None:
                    unusable[name] = odd_tensor(value) or "something that is not a tensor"
            below: list[tuple[str, Attributes, int]] = []
            for name, value in self._named(module["_modules"], prefix):
                if type(value) is Opaque and is_module(value.state):
                    parts[name] = Built(value.name, value.state)
                    below.append((f"{name}.", value.state, depth + 1))
                elif value is not None:
                    unusable[name] = "something that is not a module"
            todo += reversed(below)
        return Flat(tensors, unusable, parts)

    def _tensors(self, module: Attributes, prefix: str) -> Iterator[tuple[str, object]]:
        passing = module.get("_non_persistent_buffers_set")
        if type(passing) is not list or not module["_buffers"]:
            passing = []
        self._count(len(passing))
        hidden = {name for name in passing if type(name) is str}
        yield from self._named(module["_parameters"], prefix)
        for name, value in self._named(module["_buffers"], prefix):
            if name.removeprefix(prefix) not in hidden:
                yield name, value

    def _named(self, entries: object, prefix: str) -> Iterator[tuple[str, object]]:
        assert type(entries) is dict
        self._count(len(entries))
        for key, value in entries.items():
            if type(key) is not str or len(prefix) + len(key) > _MAX_PATH:
                raise _refusal("have a name that is not text or is too long")
            yield prefix + key, value

    def _count(self, entries: int) -> None:
        self.left -= entries
        if self.left < 0:
            raise _refusal(f"have more than {MAX_ENTRIES:,} parts")


def is_module(state: object) -> TypeGuard[Attributes]:
    """Whether ``state`` has the attributes of a module."""
    return type(state) is dict and all(type(state.get(part)) is dict for part in PARTS)


def _refusal(what: str) -> InputError:
    return InputError(f"the pickled modules of the checkpoint {what}", HINT_RESAVE)
