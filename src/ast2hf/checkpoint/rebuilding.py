"""Interpret the globals and calls of a pickle: tensors, plain containers, and opaque objects for everything else."""

from __future__ import annotations

from typing import TypeGuard

from ast2hf.checkpoint.container import HINT_RESAVE
from ast2hf.checkpoint.forbidden import GETATTR, is_forbidden
from ast2hf.checkpoint.opaque import Opaque, is_writable
from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
from ast2hf.errors import InputError, printable

_STORAGES = {
    "torch.FloatStorage": "float32", "torch.DoubleStorage": "float64", "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16", "torch.LongStorage": "int64", "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16", "torch.CharStorage": "int8", "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool", "torch.ComplexFloatStorage": "complex64", "torch.ComplexDoubleStorage": "complex128",
    # The bytes of tensors that are left unread:
    "torch.storage.UntypedStorage": "uint8", "torch.QInt8Storage": "int8", "torch.QUInt8Storage": "uint8",
    "torch.QInt32Storage": "int32",
}  # fmt: skip

_ORDERED_DICT = "collections.OrderedDict"
_DEFAULT_DICT = "collections.defaultdict"
_SETS = ("builtins.set", "builtins.frozenset")
_SIZE = "torch.Size"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_NEW = ("copyreg._reconstructor", "copyreg.__newobj__")
_SUBCLASS = "torch._tensor._rebuild_from_type_v2"
_PLAIN_TENSORS = ("torch.Tensor", "torch.nn.parameter.Parameter")

_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules to which protocol 2 refers by their Python 2 names."""

MAX_AXES = 16

_MAX_ARGUMENTS = 16
"""Arguments of a tensor, which has six to eight. Every call examines all of them."""

_MAX_NAME = 1000
"""Characters. Every occurrence of a name is read to look it up."""

_MAX_DOTS = 64
"""Dots in such a name, each part of which is examined. Classes in torch have about four."""


def reference(module: object, name: object) -> Opaque:
    """The class or function ``name`` of ``module``. Raises InputError if only an attack needs it."""
    if type(module) is not str or type(name) is not str or not is_writable(module + name):
        raise ValueError("the name of a global is not text")
    dots = module.count(".") + name.count(".")
    if len(module) + len(name) > _MAX_NAME or dots > _MAX_DOTS or is_forbidden(module, name):
        raise refusal(f"{module}.{name}")
    return Opaque(f"{_RENAMED.get(module, module)}.{name}")


def refusal(name: str) -> InputError:
    """The error for a file that refers to ``name``."""
    return InputError(
        f"the checkpoint refers to {printable(name)}, which is not part of a plain state dict (nothing was executed)",
        HINT_RESAVE,
    )


def call(function: object, arguments: object) -> object:
    """The result of calling ``function``, without calling it. Raises ValueError if it is not callable like this."""
    if type(function) is not Opaque or type(arguments) is not tuple:
        raise ValueError("call of something that is not callable")
    name, count = function.name, len(arguments)
    if not function.is_reference:
        return Opaque(name, arguments)
    if name == _TENSOR:
        if count > _MAX_ARGUMENTS:
            raise ValueError("a tensor of too many arguments")
        storage, offset, shape, stride, _, _, *metadata = arguments
        tensor = _tensor(storage, offset, shape, stride)
        return Opaque(name, arguments) if any(metadata) else tensor
    if name in _PARAMETERS:
        return arguments[0]
    if (name == _ORDERED_DICT and not count) or (name == _DEFAULT_DICT and count <= 1):
        return {}
    if name in _SETS and not count:
        return []
    if name in (*_SETS, _SIZE) and count == 1 and type(arguments[0]) in (list, tuple):
        return arguments[0]  # no copy: it could be copied at every step
    if name == _SUBCLASS and count >= 3:
        maker, kind, args = arguments[:3]  # a tensor with attributes of its own
        if (
            type(maker) is type(kind) is Opaque
            and kind.name in _PLAIN_TENSORS
            and maker.name in (_TENSOR, *_PARAMETERS)
        ):
            return call(maker, args)
    if name == GETATTR:
        return _attribute(arguments)
    if name in _NEW and count and type(kind := arguments[0]) is Opaque:
        name = kind.name
    return Opaque(name, arguments)


def _attribute(arguments: tuple[object, ...]) -> Opaque:
    """A class inside a class, or a method."""
    match arguments:
        case (Opaque(name=owner), str(name)) if owner != GETATTR and len(owner) + len(name) <= _MAX_NAME:
            return reference(*f"{owner}.{name}".split(".", 1))
    raise refusal(GETATTR)


def stored(pid: object) -> object:
    """The storage (or, in the legacy format, the class of a module) that a persistent id refers to."""
    match pid:
        # The fourth item is the device; a sixth, in the legacy format, would be a view into another storage.
        case ("storage", Opaque(name=name, args=None), str(key), _, numel, *view) if (
            name in _STORAGES and is_size(numel) and (not view or (len(view) == 1 and view[0] is None))
        ):
            return Storage(key, _STORAGES[name], numel)
        case ("module", Opaque(args=None) as kind, _, _):  # with its file and source text
            return kind
    raise InputError("the checkpoint refers to a storage in an unknown form", HINT_RESAVE)


def is_size(value: object) -> TypeGuard[int]:
    """Whether ``value`` is a number of elements."""
    return type(value) is int and 0 <= value < 1 << 63


def _tensor(storage: object, offset: object, shape: object, stride: object) -> TensorMeta:
    if type(storage) is not Storage or not is_size(offset):
        raise InputError("a tensor lies outside its storage", "re-save the checkpoint")
    return TensorMeta(storage, offset, _sizes(shape), _sizes(stride))


def _sizes(value: object) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > MAX_AXES or not all(map(is_size, value)):
        raise InputError("a tensor has an invalid shape or stride", "re-save the checkpoint")
    return value
