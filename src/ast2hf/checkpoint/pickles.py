"""Read the pickle of a checkpoint without running it.

A stack machine for the few opcodes that ``torch.save`` emits for a state dict (a subset of what ``torch.load`` accepts
with weights_only). It builds dicts, lists, tuples, text, numbers and plain descriptions of tensors. It calls nothing
from the file, from torch or from Python's unpickler, and a tensor costs no memory, however large it claims to be.
"""

from __future__ import annotations

import io
import pickletools
from typing import NamedTuple, TypeGuard

from ast2hf.checkpoint.container import HINT_REDOWNLOAD, HINT_RESAVE, MAX_PICKLE
from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
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
"""About half a second. The pickle of a base model takes 5,000 steps, with Adam's state 20,000."""


class Pickled(NamedTuple):
    """An unpickled object, the storages (by key) and tensors that its pickle describes, and where the pickle ends."""

    root: object
    storages: dict[str, Storage]
    tensors: list[TensorMeta]
    end: int


class _Global(NamedTuple):
    """One of the allowed globals, by name."""

    name: str


def unpickle_restricted(data: bytes, start: int = 0) -> Pickled:
    """Unpickle ``data`` from ``start``. Raises InputError where it is damaged or contains more than a state dict."""
    stream = io.BytesIO(data)
    stream.seek(start)
    unpickler = _Unpickler()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if steps == MAX_STEPS:
                raise InputError(f"the checkpoint's pickle takes more than {MAX_STEPS:,} steps", HINT_RESAVE)
            unpickler.step(opcode.name, argument)
        return Pickled(unpickler.pop(), unpickler.storages, unpickler.tensors, stream.tell())
    except InputError:
        raise
    except Exception as error:  # pickletools raises anything on damaged data
        if stream.tell() >= MAX_PICKLE:
            raise InputError(
                f"the checkpoint's pickle does not end within its first {MAX_PICKLE:,} bytes", HINT_RESAVE
            ) from None
        raise InputError(f"the checkpoint's pickle is damaged ({printable(error, 80)})", HINT_REDOWNLOAD) from None


class _Unpickler:
    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below_marks: list[list[object]] = []
        self.memo: dict[object, object] = {}
        self.storages: dict[str, Storage] = {}
        self.tensors: list[TensorMeta] = []

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
                if type(made) is TensorMeta:
                    self.tensors.append(made)
                self.stack.append(made)
            case "BUILD":
                self.pop()  # the attributes of a state dict: the versions of its modules
                _update(self.stack[-1], [])
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if isinstance(module, str) and isinstance(name, str):
                    _allowed(f"{module} {name}")
                raise InputError(
                    "the checkpoint is pickled with protocol 4 or later", "save it without pickle_protocol=…"
                )
            case _:
                raise InputError(
                    f"the checkpoint's pickle uses {opcode}, which a state dict does not need", HINT_RESAVE
                )

    def storage(self, pid: object) -> Storage:
        match pid:
            # The fourth item is the device; a sixth, in the legacy format, would be a view into another storage.
            case ("storage", _Global(name), str(key), _, numel, *view) if (
                name in _STORAGES and _is_size(numel) and view in ([], [None])
            ):
                storage = Storage(key, _STORAGES[name], numel)
            case _:
                raise InputError("the checkpoint refers to a storage in an unknown form", HINT_RESAVE)
        if self.storages.setdefault(key, storage) != storage:
            raise InputError(
                f"the checkpoint describes storage {printable(key, 40)} in two different ways", HINT_RESAVE
            )
        return storage


def _allowed(name: str) -> _Global:
    if name in _STORAGES or name in (_ORDERED_DICT, _TENSOR, _PARAMETER):
        return _Global(name)
    if name in _OTHER_TENSORS:
        raise InputError(f"the checkpoint contains {_OTHER_TENSORS[name]}", "save the weights as plain float32 tensors")
    shown = printable(name.replace(" ", "."))
    raise InputError(
        f"the checkpoint refers to {shown}, which is not part of a plain state dict (nothing was executed)", HINT_RESAVE
    )


def _extend(target: object, items: list[object]) -> None:
    if type(target) is not list:
        raise ValueError("append to something that is not a list")
    target.extend(items)


def _update(target: object, items: list[object]) -> None:
    if type(target) is not dict or len(items) % 2:
        raise ValueError("item set on something that is not a dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # No other keys: hashing a nested tuple can take forever, or overflow the stack.
        if not (type(key) is str or _is_size(key)):
            raise InputError(f"the checkpoint has a dict key of type {type(key).__name__}", HINT_RESAVE)
        target[key] = value


def _call(function: object, arguments: object) -> object:
    match function, arguments:
        case _Global(name), () if name == _ORDERED_DICT:
            return {}
        case _Global(name), (data, *_) if name == _PARAMETER:
            return data
        case _Global(name), (storage, offset, shape, stride, _, _, *metadata) if name == _TENSOR:
            if any(metadata):
                raise InputError("a tensor has the negative or conjugate bit set", HINT_RESAVE)
            return _tensor(storage, offset, shape, stride)
    raise ValueError("call of something that is not callable")


def _tensor(storage: object, offset: object, shape: object, stride: object) -> TensorMeta:
    if type(storage) is not Storage or not _is_size(offset):
        raise InputError("a tensor lies outside its storage", "re-save the checkpoint")
    return TensorMeta(storage, offset, _sizes(shape), _sizes(stride))


def _sizes(value: object) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > _MAX_AXES or not all(map(_is_size, value)):
        raise InputError("a tensor has an invalid shape or stride", "re-save the checkpoint")
    return value


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 63
