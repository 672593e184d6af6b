"""Unpickle the vetted bytes a second time, with Python's own unpickler and stand-ins for everything they refer to.

Nothing is imported, and nothing from another module is called. The pure Python class is used because its dicts can be
replaced by dicts that never hash keys which the file could have chosen to take forever.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple


class Storage(NamedTuple):
    """A flat run of ``numel`` elements. ``kind``: the class, such as ``FloatStorage``."""

    key: str
    kind: str
    numel: int


class View(NamedTuple):
    """A tensor: ``offset`` and ``stride`` in elements of ``storage``."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class StandIn:
    """Replaces a class or function (``args`` is None), or the object that it would have made from ``args``."""

    __slots__ = ("args", "elements", "entries", "name", "state")

    def __init__(self, name: str, args: tuple[object, ...] | None = None) -> None:
        self.name = name
        self.args = args
        self.state: object = None
        self.elements: list[object] | None = None
        self.entries: Dict | None = None

    def __setstate__(self, state: object) -> None:
        if self.args is None:
            raise ValueError("state of a class")
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.entries = Dict() if self.entries is None else self.entries
        self.entries[key] = value

    def append(self, item: object) -> None:
        """Called by the unpickler, like :meth:`extend`."""
        self.extend([item])

    def extend(self, items: list[object]) -> None:
        self.elements = [] if self.elements is None else self.elements
        self.elements += items

    add = append

    def parts(self) -> tuple[object, ...]:
        """Everything that the pickle put into it."""
        return self.entries, self.state, self.args, self.elements


class Dict(dict[object, object]):
    """A dict whose keys are text and small numbers; every other key is replaced by a unique object."""

    __slots__ = ()

    def __setitem__(self, key: object, value: object) -> None:
        usual = type(key) is str or (type(key) is int and 0 <= key < 1 << 24)
        super().__setitem__(key if usual else object(), value)

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes of a state dict, which could shadow its methods."""


class List(list[object]):
    """A list that may stand for a set."""

    __slots__ = ()

    def add(self, item: object) -> None:
        """Called by the unpickler."""
        self.append(item)


def loads(data: bytes, count: int = 1) -> tuple[list[Any], dict[str, Storage]]:
    """The objects of the first ``count`` pickles in ``data``, which must have been vetted, and their storages by key.

    Raises anything.
    """
    stream = io.BytesIO(data)
    storages: dict[str, Storage] = {}
    return [_Unpickler(stream, storages).load() for _ in range(count)], storages


def _tensor(storage: Storage, offset: int, shape: Any, stride: Any, _: object, __: object, *bits: object) -> object:
    if any(bits):  # negative or conjugate
        return StandIn("torch.Tensor", ())
    if type(storage) is not Storage or type(shape) is not tuple or type(stride) is not tuple:
        raise ValueError("not a tensor")
    return View(storage, offset, shape, stride)


def _subclass(make: object, kind: object, args: object, *_: object) -> object:
    plain = isinstance(kind, StandIn) and kind.name in ("torch.Tensor", "torch.nn.parameter.Parameter")
    return _called(make, args) if plain and callable(make) else StandIn("torch.Tensor", ())


def _elements(items: object = ()) -> object:
    return items if isinstance(items, (list, tuple)) else StandIn("set", ())


def _instance(kind: object, *args: object) -> object:
    return _called(kind, args)


_MADE: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": lambda *args: StandIn("OrderedDict", args) if args else Dict(),
    "collections.defaultdict": lambda *args: StandIn("defaultdict", args) if len(args) > 1 else Dict(),
    **dict.fromkeys(("builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset"), _elements),
    "torch.Size": _elements,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    **dict.fromkeys(
        ("copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__"), _instance
    ),
}
"""Replacements for the functions that make dicts and tensors."""

_MAX_ARGUMENTS = 16
"""Arguments of one of these. They are copied at each call."""


def _called(function: object, args: object) -> object:
    if type(args) is not tuple:
        raise ValueError("arguments that are not a tuple")
    if isinstance(function, StandIn):
        return StandIn(function.name, args)
    if not callable(function) or len(args) > _MAX_ARGUMENTS:
        raise ValueError("call of something that is not callable")
    return function(*args)


class _Unpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, stream: io.BytesIO, storages: dict[str, Storage]) -> None:
        super().__init__(stream, encoding="latin-1")
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        return _MADE.get(full) or StandIn(full)

    def persistent_load(self, pid: Any) -> Any:
        kind, name = pid[:2]
        if kind == "module":  # of the legacy format: a class, its file, its source text
            return name
        key, _, numel, *view = pid[2:]
        if kind != "storage" or any(part is not None for part in view):
            raise ValueError("unknown persistent id")
        return self.storages.setdefault(key, Storage(key, name.name.rpartition(".")[2], numel))

    def _instantiate(self, klass: object, args: list[object]) -> None:
        self.stack.append(_called(klass, tuple(args)))

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = _called(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        keywords = self.stack.pop()
        self.load_reduce()
        if isinstance(made := self.stack[-1], StandIn) and isinstance(keywords, Dict):
            made.entries = keywords

    def load_frame(self) -> None:
        """Skip the frame's size, as the first reading does: a frame could reach into the next pickle of the file."""
        if len(self.read(8)) < 8:
            raise EOFError

    def load_empty_dictionary(self) -> None:
        self.stack.append(Dict())

    def load_dict(self) -> None:
        items = self.pop_mark()
        made = Dict()
        for key, value in zip(items[::2], items[1::2], strict=True):
            made[key] = value
        self.stack.append(made)

    def load_empty_set(self) -> None:
        self.stack.append(List())

    def load_frozenset(self) -> None:
        items = self.pop_mark()  # which exchanges the stack
        self.stack.append(items)

    dispatch[pickle.REDUCE[0]] = dispatch[pickle.NEWOBJ[0]] = load_reduce
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dictionary
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.EMPTY_SET[0]] = load_empty_set
    dispatch[pickle.FROZENSET[0]] = load_frozenset
