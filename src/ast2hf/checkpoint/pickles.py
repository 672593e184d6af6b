"""Interpret the pickle of a checkpoint without running it.

Two steps. The opcodes are scanned first: only those that ``torch.save`` emits for a state dict, and only globals from
a short list. Then the pickle is interpreted with each of these globals replaced by a plain description of a tensor, so
that nothing of the file, and nothing of torch, is ever called; a tensor of any stated size costs no memory.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from typing import Any, NamedTuple

from ast2hf.errors import InputError, printable

ITEMSIZE = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16,
}  # fmt: skip

_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
}  # fmt: skip

_OPCODES = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "MEMOIZE",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "GET",
        "BINGET",
        "LONG_BINGET",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "FLOAT",
        "BINFLOAT",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "GLOBAL",
        "REDUCE",
        "BUILD",
        "BINPERSID",
    ]
)

_RESAVE = "save the state dict alone: torch.save(model.state_dict(), path)"


class Storage(NamedTuple):
    """A flat run of ``numel`` elements, stored in the record named ``key``."""

    key: str
    dtype: str
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * ITEMSIZE[self.dtype]


class TensorRecord(NamedTuple):
    """A strided view of a storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


# What stands in for the allowed globals. The BUILD opcode writes attributes, so none of these has any.


class _StorageType(NamedTuple):
    dtype: str


class _OrderedDict(dict[Any, Any]):
    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignore what a state dict carries beside its items (``_metadata``: versions of its modules)."""


class _RebuildTensor:
    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, stride: object, *_: object) -> TensorRecord:
        if type(storage) is not Storage or type(offset) is not int or offset < 0:
            raise InputError("a tensor lies outside its storage", "re-save the checkpoint")
        return TensorRecord(storage, offset, self._sizes(shape), self._sizes(stride))

    @staticmethod
    def _sizes(value: object) -> tuple[int, ...]:
        if type(value) is not tuple or not all(type(v) is int and v >= 0 for v in value):
            raise InputError(
                f"a tensor has the impossible shape or stride {printable(value, 60)}", "re-save the checkpoint"
            )
        return value


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, data: object, *_: object) -> object:
        return data


_GLOBALS: dict[str, Any] = {
    "collections OrderedDict": _OrderedDict,
    "torch._utils _rebuild_tensor_v2": _RebuildTensor(),
    "torch._utils _rebuild_parameter": _RebuildParameter(),
    **{f"torch {name}": _StorageType(dtype) for name, dtype in _STORAGES.items()},
}


class _Interpreter(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _GLOBALS[f"{module} {name}"]  # scan() has let no other through

    def persistent_load(self, pid: Any) -> Storage:
        if (
            isinstance(pid, tuple)
            and len(pid) in (5, 6)
            and pid[0] == "storage"
            and isinstance(pid[1], _StorageType)
            and isinstance(pid[2], str)
            and type(pid[4]) is int
            and pid[4] >= 0
            and (len(pid) == 5 or pid[5] is None)
        ):
            return Storage(pid[2], pid[1].dtype, pid[4])
        raise InputError("the checkpoint refers to a storage in an unknown way", _RESAVE)


def scan(data: bytes) -> int:
    """Check the opcodes of the pickle at the start of ``data``; return its length in bytes."""
    size = len(data)
    try:
        for opcode, argument, position in pickletools.genops(io.BytesIO(data)):
            if opcode.name == "GLOBAL" and argument not in _GLOBALS:
                name = printable(str(argument).replace(" ", "."))
                raise InputError(
                    f"the checkpoint refers to {name}, which is not part of a plain state dict, and was not run",
                    _RESAVE,
                )
            if opcode.name not in _OPCODES:
                raise InputError(
                    f"the checkpoint's pickle uses {opcode.name}, which a state dict does not need", _RESAVE
                )
            if opcode.name in ("PUT", "LONG_BINPUT") and not 0 <= int(argument) <= size:  # type: ignore[arg-type]
                raise InputError("the checkpoint's pickle asks for absurd amounts of memory", "do not use this file")
            if opcode.name == "STOP":
                assert position is not None
                return position + 1
    except InputError:
        raise
    except Exception as error:  # pickletools raises whatever the damage leads to
        raise InputError(
            f"the checkpoint's pickle is damaged ({printable(error, 80)})", "the file is incomplete: fetch it again"
        ) from None
    raise InputError("the checkpoint's pickle has no end", "the file is incomplete: fetch it again")


def interpret(data: bytes) -> tuple[object, int]:
    """The object pickled at the start of ``data``, tensors as :class:`TensorRecord`, and the pickle's length."""
    length = scan(data)
    try:
        return _Interpreter(io.BytesIO(data[:length])).load(), length
    except InputError:
        raise
    except Exception as error:  # a well-formed stream of opcodes can still ask for any nonsense
        raise InputError(
            f"the checkpoint's pickle is not valid ({printable(error, 80)})", "re-save the checkpoint"
        ) from None


def storages(root: object) -> Iterator[Storage]:
    """Every storage that tensors anywhere in ``root`` use, each once. Iterative: nesting may be deep."""
    seen: set[int] = set()
    keys: set[str] = set()
    stack = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, TensorRecord):
            if value.storage.key not in keys:
                keys.add(value.storage.key)
                yield value.storage
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            stack.extend(value.values() if isinstance(value, dict) else value)
