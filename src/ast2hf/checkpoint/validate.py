"""Find the state dict in an unpickled checkpoint and check each of its tensors against the file. Reads no weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from ast2hf.checkpoint.container import HINT_REDOWNLOAD, MAX_FILE, ByteRange, Container
from ast2hf.checkpoint.tensor_meta import ITEMSIZE, TensorMeta
from ast2hf.errors import InputError, printable

FLOATS = ("float32", "float16", "bfloat16", "float64")
"""Accepted dtypes. The model is written in float32: half precisions widen exactly; float64 is rounded, with a note."""

WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "module")
"""Keys under which training scripts put the state dict."""

DATA_PARALLEL = "module."
"""What torch.nn.DataParallel puts before every name; the official checkpoints have it."""

_MAX_NAME = 200

_HINT_STATE_DICT = "use the file saved from model.state_dict()"


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of the file: a strided view of ``storage``. ``offset`` and ``stride`` are in elements."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: ByteRange

    @property
    def is_plain(self) -> bool:
        """Float32 and contiguous: its bytes in the file are its bytes in the output."""
        return self.dtype == "float32" and self.stride == contiguous_stride(self.shape)

    @property
    def bytes(self) -> ByteRange:
        """The elements of a contiguous tensor."""
        size = ITEMSIZE[self.dtype]
        return ByteRange(self.storage.offset + self.offset * size, prod(self.shape) * size)

    @property
    def span(self) -> ByteRange:
        """From the first element to the last; the tensor must not be empty."""
        size = ITEMSIZE[self.dtype]
        return ByteRange(self.storage.offset + self.offset * size, (1 + reach(self.shape, self.stride)) * size)


class Validated(NamedTuple):
    """A state dict that has passed all checks: its tensors by name, without ``prefix``, which every name had.

    ``notes``: for people, one line each, on conversions of dtype, strided and shared tensors.
    """

    tensors: dict[str, SourceTensor]
    prefix: str
    notes: tuple[str, ...]


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The stride, in elements, of a contiguous tensor of ``shape``: the last axis is the fastest.

    Axes of length zero count as one, as in torch.
    """
    stride: list[int] = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= max(size, 1)
    return tuple(reversed(stride))


def reach(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """The distance, in elements, from the first element to the last; no axis may be empty."""
    return sum((n - 1) * s for n, s in zip(shape, stride, strict=True))


def unwrap(root: object) -> tuple[Mapping[object, object], tuple[str, ...]]:
    """The mapping of names to tensors inside ``root``, and the keys that lead to it. Raises InputError."""
    if not isinstance(root, dict):
        kinds = {"list": "a list", "tuple": "a tuple", "TensorMeta": "a single tensor"}
        kind = kinds.get(type(root).__name__, f"a value of type {type(root).__name__}")
        raise InputError(f"the checkpoint contains {kind}, not a state dict", _HINT_STATE_DICT)
    if _is_state_dict(root):
        return root, ()
    found = [key for key in WRAPPERS if _is_state_dict(root.get(key))]
    if len(found) > 1:
        raise InputError(
            f"the checkpoint contains several state dicts: {', '.join(found)}", "save only the one you need"
        )
    if found:
        return root[found[0]], (found[0],)
    if {"state", "param_groups"} <= set(root):
        raise InputError(
            "the checkpoint is an optimizer state",
            "use the model's file (best_audio_model.pth, not best_optim_state.pth)",
        )
    shown = ", ".join(printable(key, 40) for key in list(root)[:10]) or "none"
    raise InputError(f"the checkpoint contains no state dict (its keys: {shown})", _HINT_STATE_DICT)


def _is_state_dict(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(type(v) is TensorMeta for v in value.values())


def validate(state_dict: Mapping[object, object], container: Container) -> Validated:
    """Check the names, dtypes, shapes, strides and storages of ``state_dict``, which :func:`unwrap` has found.

    Also of the other tensors of ``container``, which torch.load will make. Raises InputError.
    """
    names = [_validate_name(name) for name in state_dict]
    prefix = DATA_PARALLEL if all(name.startswith(DATA_PARALLEL) for name in names) else ""
    tensors: dict[str, SourceTensor] = {}
    for name, tensor in zip(names, state_dict.values(), strict=True):
        assert isinstance(tensor, TensorMeta)
        tensors[name.removeprefix(prefix)] = _validate_tensor(name, tensor, container)
    for tensor in container.tensors:
        _validate_view("a tensor outside the state dict", tensor, container)
    return Validated(tensors, prefix, tuple(_notes(tensors)))


def _validate_name(name: object) -> str:
    if type(name) is not str or not name.isprintable() or "/" in name or len(name) > _MAX_NAME or name.startswith("__"):
        raise InputError(f"{printable(repr(name), 60)} is not a valid tensor name", "re-save the model's state dict")
    return name


def _validate_tensor(name: str, tensor: TensorMeta, container: Container) -> SourceTensor:
    storage = _validate_view(name, tensor, container)
    dtype = tensor.storage.dtype
    if dtype not in FLOATS:
        raise InputError(f"{name} has dtype {dtype}, which is not floating point", "save the weights as float32")
    # torch writes an arbitrary stride for an axis of length one; the canonical one lets contiguous tensors be seen.
    canonical = contiguous_stride(tensor.shape)
    stride = tuple(c if n == 1 else s for n, s, c in zip(tensor.shape, tensor.stride, canonical, strict=True))
    return SourceTensor(dtype, tensor.shape, stride, tensor.offset if prod(tensor.shape) else 0, storage)


def _validate_view(name: str, tensor: TensorMeta, container: Container) -> ByteRange:
    """The bytes of the storage of ``tensor``, which contains all of its elements. Raises InputError."""
    storage = tensor.storage
    found = container.storages.get(storage.key)
    if found is None:
        raise InputError(f"storage of {name} is not in the file", HINT_REDOWNLOAD)
    if found.nbytes != storage.nbytes:
        raise InputError(f"storage of {name} is {found.nbytes:,} bytes, expected {storage.nbytes:,}", HINT_REDOWNLOAD)
    if len(tensor.shape) != len(tensor.stride):
        raise InputError(
            f"{name} has {len(tensor.shape)} axes but {len(tensor.stride)} strides", "re-save the checkpoint"
        )
    count = prod(tensor.shape)
    last = tensor.offset + reach(tensor.shape, tensor.stride) if count else -1
    # An expanded view has more elements than its storage; an empty one may lie anywhere, with axes of any length.
    if last >= storage.numel or count > storage.numel or prod(max(n, 1) for n in tensor.shape) > MAX_FILE:
        raise InputError(
            f"{name} of shape {list(tensor.shape)} needs more data than its storage has",
            "make the tensors contiguous() and save them again",
        )
    return found


def _notes(tensors: Mapping[str, SourceTensor]) -> Iterator[str]:
    for dtype in FLOATS[1:]:
        count = sum(t.dtype == dtype for t in tensors.values())
        if count:
            how = "rounded to float32" if dtype == "float64" else "widened to float32 (exact)"
            yield f"{dtype} tensors {how}: {count}"
    strided = sum(t.stride != contiguous_stride(t.shape) for t in tensors.values())
    if strided:
        yield f"non-contiguous tensors copied element by element: {strided}"
    if len({t.bytes for t in tensors.values()}) < len(tensors):
        yield "some tensors share storage; each is written in full"
