"""Interpret the pickle of a checkpoint without running it.

A stack machine for the few opcodes that ``torch.save`` emits for a state dict (a subset of what ``torch.load`` takes
with weights_only). It builds dicts, lists, tuples, text, numbers and plain descriptions of tensors. Nothing of the
file, of torch or of Python's unpickler is ever called, and a tensor of any stated size costs no memory.
"""

from __future__ import annotations

import io
import pickletools
from typing import NamedTuple, TypeGuard

from ast2hf.checkpoint.container import AGAIN, MAX_PICKLE, RESAVE
from ast2hf.checkpoint.tensor_records import Storage, TensorRecord
from ast2hf.errors import InputError, printable

_STORAGES = {
    "torch FloatStorage": "float32", "torch DoubleStorage": "float64", "torch HalfStorage": "float16",
    "torch BFloat16Storage": "bfloat16", "torch LongStorage": "int64", "torch IntStorage": "int32",
    "torch ShortStorage": "int16", "torch CharStorage": "int8", "torch ByteStorage": "uint8",
    "torch BoolStorage": "bool", "torch ComplexFloatStorage": "complex64", "torch ComplexDoubleStorage": "complex128",
}  # fmt: skip

_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}

_OTHER_TENSORS = {
    "torch._utils _rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils _rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils _rebuild_nested_tensor": "a nested tensor",
    "torch._utils _rebuild_qtensor": "a quantized tensor",
    "torch._utils _rebuild_meta_tensor_no_storage": "a tensor without values (device meta)",
    "torch._utils _rebuild_tensor_v3": "a tensor of a type that is newer than AST (such as float8 or uint16)",
    "torch.storage UntypedStorage": "a tensor of a type that is newer than AST (such as float8 or uint16)",
}

_MAX_AXES = 16

MAX_STEPS = 200_000
"""Of the stack machine, about half a second. The pickle of a base model takes 5,000, with Adam's state 20,000."""


class Pickled(NamedTuple):
    """An interpreted pickle: its object, the storages by key and the tensors that it has, and where it ends."""

    root: object
    storages: dict[str, Storage]
    tensors: list[TensorRecord]
    end: int


class _Global(NamedTuple):
    """One of the allowed globals, by name."""

    name: str


def interpret(data: bytes, start: int = 0) -> Pickled:
    """The pickle at ``start`` of ``data``. Raises InputError where it is damaged or holds more than a state dict."""
    stream = io.BytesIO(data)
    stream.seek(start)
    machine = _Machine()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if steps == MAX_STEPS:
                raise InputError(f"the checkpoint's pickle takes more than {MAX_STEPS:,} steps", RESAVE)
            machine.step(opcode.name, argument)
        return Pickled(machine.pop(), machine.storages, machine.tensors, stream.tell())
    except InputError:
        raise
    except Exception as error:  # pickletools raises whatever the damage leads to
        if stream.tell() >= MAX_PICKLE:
            raise InputError(
                f"the checkpoint's pickle does not end within its first {MAX_PICKLE:,} bytes", RESAVE
            ) from None
        raise InputError(f"the checkpoint's pickle is damaged ({printable(error, 80)})", AGAIN) from None


class _Machine:
    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below_marks: list[list[object]] = []
        self.memo: dict[object, object] = {}
        self.storages: dict[str, Storage] = {}
        self.tensors: list[TensorRecord] = []

    def pop(self) -> object:
        return self.stack.pop()

    def pop_to_mark(self) -> list[object]:
        items, self.stack = self.stack, self.below_marks.pop()
        return items

    def step(self, opcode: str, argument: object) -> None:
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                self.stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                self.stack.append(_CONSTANTS[opcode])
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_DICT":
                self.stack.append({})
            case "MARK":
                self.below_marks.append(self.stack)
                self.stack = []
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self.pop() for _ in range(int(opcode[-1]))]
                self.stack.append(tuple(reversed(items)))
            case "TUPLE":
                items = self.pop_to_mark()
                self.stack.append(tuple(items))
            case "APPEND":
                item = self.pop()
                _extend(self.stack[-1], [item])
            case "APPENDS":
                items = self.pop_to_mark()
                _extend(self.stack[-1], items)
            case "SETITEM":
                value, key = self.pop(), self.pop()
                _update(self.stack[-1], [key, value])
            case "SETITEMS":
                items = self.pop_to_mark()
                _update(self.stack[-1], items)
            case "BINPERSID":
                self.stack.append(self.storage(self.pop()))
            case "GLOBAL":
                self.stack.append(_allowed(str(argument)))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                made = _call(function, arguments)
                if type(made) is TensorRecord:
                    self.tensors.append(made)
                self.stack.append(made)
            case "BUILD":
                self.pop()  # what a state dict carries beside its items: the versions of its modules
                _update(self.stack[-1], [])
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if isinstance(module, str) and isinstance(name, str):
                    _allowed(f"{module} {name}")
                raise InputError(
                    "the checkpoint is pickled with protocol 4 or later", "save it without pickle_protocol=…"
                )
            case _:
                raise InputError(f"the checkpoint's pickle uses {opcode}, which a state dict does not need", RESAVE)

    def storage(self, pid: object) -> Storage:
        match pid:
            # The fourth item is the device; a sixth, in the legacy format, would be a view into another storage.
            case ("storage", _Global(name), str(key), _, numel, *view) if (
                name in _STORAGES and _is_size(numel) and view in ([], [None])
            ):
                storage = Storage(key, _STORAGES[name], numel)
            case _:
                raise InputError("the checkpoint refers to a storage in an unknown way", RESAVE)
        if self.storages.setdefault(key, storage) != storage:
            raise InputError(f"the checkpoint describes storage {printable(key, 40)} in two ways", RESAVE)
        return storage


def _allowed(name: str) -> _Global:
    if name in _STORAGES or name in (_ORDERED_DICT, _TENSOR, _PARAMETER):
        return _Global(name)
    if name in _OTHER_TENSORS:
        raise InputError(f"the checkpoint holds {_OTHER_TENSORS[name]}", "save the weights as plain float32 tensors")
    shown = printable(name.replace(" ", "."))
    raise InputError(
        f"the checkpoint refers to {shown}, which is not part of a plain state dict, and was not run", RESAVE
    )


def _extend(target: object, items: list[object]) -> None:
    if type(target) is not list:
        raise ValueError("something is appended to what is no list")
    target.extend(items)


def _update(target: object, items: list[object]) -> None:
    if type(target) is not dict or len(items) % 2:
        raise ValueError("an entry is set in what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Nothing else: the hash of a tuple can take for ever, or overflow the stack.
        if not (type(key) is str or _is_size(key)):
            raise InputError(f"the checkpoint has a dict key of type {type(key).__name__}", RESAVE)
        target[key] = value


def _call(function: object, arguments: object) -> object:
    match function, arguments:
        case _Global(name), () if name == _ORDERED_DICT:
            return {}
        case _Global(name), (data, *_) if name == _PARAMETER:
            return data
        case _Global(name), (storage, offset, shape, stride, _, _, *metadata) if name == _TENSOR:
            if any(metadata):
                raise InputError("a tensor is stored as the negative or conjugate of its bytes", RESAVE)
            return _tensor(storage, offset, shape, stride)
    raise ValueError("something is called that cannot be")


def _tensor(storage: object, offset: object, shape: object, stride: object) -> TensorRecord:
    if type(storage) is not Storage or not _is_size(offset):
        raise InputError("a tensor lies outside its storage", "re-save the checkpoint")
    return TensorRecord(storage, offset, _sizes(shape), _sizes(stride))


def _sizes(value: object) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > _MAX_AXES or not all(map(_is_size, value)):
        raise InputError("a tensor has an impossible shape or stride", "re-save the checkpoint")
    return value


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 63
