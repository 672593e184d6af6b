"""Find everything that looks like a state dict in an unpickled checkpoint, whatever keys lead to it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ast2hf.checkpoint.forbidden import GETATTR
from ast2hf.checkpoint.module_trees import PARTS, Built, ModuleReader, is_module
from ast2hf.checkpoint.opaque import Opaque, odd_tensor
from ast2hf.checkpoint.rebuilding import refusal
from ast2hf.checkpoint.tensor_meta import TensorMeta
from ast2hf.errors import InputError, printable

_MAX_DEPTH = 32
"""Largest depth of a candidate. Key paths to deeper ones would take more memory than the file."""

MAX_CANDIDATES = 1000
"""Per file. An optimizer's state that is not recognisable as such has one per parameter."""

_HINT_STATE_DICT = "use the file saved from model.state_dict()"

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Candidate:
    """A mapping that looks like a state dict. ``tensors``: by name as in the file, in its order.

    ``keys`` lead to it from the root: the key of a dict; the index in a list or tuple; in an opaque object, the key
    in its entries or its state, or the index in its args or elements, whichever has it first.
    ``unusable``: named entries that cannot be used, such as a sparse tensor, described in words. ``nameless``: keys
    that are not text, made printable. ``modules``: the parts of a pickled module, by name.
    """

    keys: Keys
    tensors: Mapping[str, TensorMeta]
    unusable: Mapping[str, str] = field(default_factory=dict)
    nameless: tuple[str, ...] = ()
    modules: Mapping[str, Built] = field(default_factory=dict)


class Found(NamedTuple):
    """``opaque``: the number of objects left unread, by dotted name, in file order."""

    candidates: tuple[Candidate, ...]
    opaque: Mapping[str, int]


class _Node(NamedTuple):
    """A value and the key that leads to it from ``above``. ``candidates``: whether it may be or contain a candidate."""

    value: object
    above: _Node | None
    key: str | int | None
    depth: int
    candidates: bool = True

    def inside(self, value: object, key: object, candidates: bool = True) -> _Node:
        if not (isinstance(key, (str, int)) and candidates and self.candidates and self.depth < _MAX_DEPTH):
            return _Node(value, None, None, 0, False)
        return _Node(value, self, key, self.depth + 1)

    def keys(self) -> Keys:
        found: list[str | int] = []
        node: _Node | None = self
        while node is not None:
            if node.key is not None:
                found.append(node.key)
            node = node.above
        return tuple(reversed(found))


def find(root: object) -> Found:
    """All candidates in ``root``. Raises InputError, saying what the file has instead, if there is none."""
    search = _Search()
    search.run(root)
    if not search.candidates:
        raise _none_found(root, search)
    return Found(tuple(search.candidates.values()), dict(search.opaque))


class _Search:
    """A walk through everything in an unpickled checkpoint, without recursion, visiting each object once."""

    def __init__(self) -> None:
        self.candidates: dict[Keys, Candidate] = {}
        self.opaque: Counter[str] = Counter()
        self.odd: str | None = None
        self.modules = ModuleReader()
        self._seen: set[int] = set()
        self._todo: list[_Node] = []
        self._optimizers: deque[_Node] = deque()

    def run(self, root: object) -> None:
        self._todo.append(_Node(root, None, None, 0))
        # Optimizers come last: what they share with the rest belongs to the rest.
        while self._todo or self._optimizers:
            node = self._todo.pop() if self._todo else self._optimizers.popleft()
            if id(node.value) in self._seen:
                continue
            if node.candidates and type(node.value) is dict and _is_optimizer(node.value):
                self._optimizers.append(node._replace(candidates=False))
                continue
            self._seen.add(id(node.value))
            self._todo += reversed(list(self._below(node, node.value)))

    def _below(self, node: _Node, value: object) -> Iterator[_Node]:
        """The containers in ``value``; also records what ``value`` itself is."""
        if type(value) is Opaque:
            if value.is_reference and value.name == GETATTR:  # left uncalled: no checkpoint needs that
                raise refusal(GETATTR)
            self.odd = self.odd or odd_tensor(value)
            if not is_module(value.state):
                self.opaque[value.name] += 1
            for part in (value.entries, value.state, value.args, value.elements):
                if _is_container(part):
                    yield node._replace(value=part)
        elif type(value) is dict:
            parts = PARTS if is_module(value) else ()
            if node.candidates:
                self._look_at(node, value)
            for key, item in value.items():
                if _is_container(item):
                    yield node.inside(item, key, key not in parts)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if _is_container(item):
                    yield node.inside(item, index)

    def _look_at(self, node: _Node, value: dict[object, object]) -> None:
        candidate = None
        if is_module(value):
            if id(value) not in self.modules.read:
                tensors, unusable, parts = self.modules.flatten(value)
                candidate = Candidate(node.keys(), tensors, unusable, modules=parts)
        elif _looks_like_state_dict(value):
            candidate = _candidate(node.keys(), value)
        if candidate is not None and any(tensor.shape for tensor in candidate.tensors.values()):
            self.candidates.setdefault(candidate.keys, candidate)
            if len(self.candidates) > MAX_CANDIDATES:
                raise InputError(f"the checkpoint contains more than {MAX_CANDIDATES:,} state dicts", _HINT_STATE_DICT)


def _is_container(value: object) -> bool:
    return type(value) in (dict, list, tuple, Opaque)


def _looks_like_state_dict(value: Mapping[object, object]) -> bool:
    """Whether most values are tensors, and at least one of them is not a scalar."""
    tensors = [item for key, item in value.items() if type(item) is TensorMeta and type(key) is str]
    count = len(tensors) + sum(odd_tensor(item) is not None for item in value.values())
    return count * 2 > len(value) and any(tensor.shape for tensor in tensors)


def _candidate(keys: Keys, value: Mapping[object, object]) -> Candidate:
    tensors: dict[str, TensorMeta] = {}
    unusable: dict[str, str] = {}
    for key, item in value.items():
        if type(key) is str and type(item) is TensorMeta:
            tensors[key] = item
        elif type(key) is str and (odd := odd_tensor(item)):
            unusable[key] = odd
    nameless = (printable(repr(key), 60) for key in value if type(key) is not str)
    return Candidate(keys, tensors, unusable, tuple(nameless))


def _is_optimizer(value: Mapping[object, object]) -> bool:
    return "state" in value and "param_groups" in value


def _none_found(root: object, search: _Search) -> InputError:
    if search.odd:
        return InputError(f"the checkpoint contains {search.odd}", "save the weights as plain float32 tensors")
    attributes = root.state if type(root) is Opaque else root
    if type(attributes) is dict and _is_optimizer(attributes):
        return optimizer_state()
    if type(root) is not dict:
        return InputError(f"the checkpoint contains {_kind(root)}, not a state dict", _HINT_STATE_DICT)
    for key, item in root.items():
        if type(item) is TensorMeta and type(key) is not str:
            return InputError(
                f"{printable(repr(key), 60)} is not a valid tensor name", "re-save the model's state dict"
            )
    shown = ", ".join(printable(key, 40) for key in list(root)[:10]) or "none"
    return InputError(f"the checkpoint contains no state dict (its keys: {shown})", _HINT_STATE_DICT)


def optimizer_state() -> InputError:
    """The error for a file that contains only the state of an optimizer."""
    return InputError(
        "the checkpoint is the state of an optimizer",
        "use the model's file (best_audio_model.pth, not best_optim_state.pth)",
    )


def _kind(value: object) -> str:
    if type(value) is Opaque:
        return f"an object of {printable(value.name, 100)}, left unread"
    kinds = {"list": "a list", "tuple": "a tuple", "TensorMeta": "a single tensor"}
    return kinds.get(type(value).__name__, f"a value of type {type(value).__name__}")
