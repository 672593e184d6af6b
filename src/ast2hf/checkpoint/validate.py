"""Check the tensors that a checkpoint describes against the file. Reads no weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from ast2hf.checkpoint.candidates import Candidate
from ast2hf.checkpoint.container import HINT_REDOWNLOAD, MAX_FILE, ByteRange, Container
from ast2hf.checkpoint.tensor_meta import ITEMSIZE, TensorMeta
from ast2hf.errors import InputError, printable

FLOATS = ("float32", "float16", "bfloat16", "float64")
"""Accepted dtypes. The model is written in float32: half precision widens exactly; float64 is rounded, with a note."""

_MAX_NAME = 200


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
        """The bytes from the first element to the last; the tensor must not be empty."""
        size = ITEMSIZE[self.dtype]
        return ByteRange(self.storage.offset + self.offset * size, (1 + reach(self.shape, self.stride)) * size)


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


def vet(container: Container, candidates: Iterable[Candidate]) -> None:
    """Check that every tensor of ``container`` is inside its storage, and each storage inside the file.

    Raises InputError, which names tensors that are in ``candidates``.
    """
    vetted: set[int] = set()  # ids, not values: the file could choose sizes whose hashes all collide
    for candidate in candidates:
        for name, tensor in candidate.tensors.items():
            if id(tensor) not in vetted:
                vetted.add(id(tensor))
                _vet_view(name, tensor, container)
    for tensor in container.tensors:
        if id(tensor) not in vetted:
            vetted.add(id(tensor))
            _vet_view("a tensor outside the state dict", tensor, container)


def validate(name: str, tensor: TensorMeta, container: Container) -> SourceTensor:
    """The tensor that the file calls ``name``; its name and view must be plausible for a weight.

    Raises InputError. The dtype is not checked here, but where the tensor is used.
    """
    _validate_name(name)
    count = prod(tensor.shape)
    # An expanded view has more elements than its storage; an empty one may have axes of any length.
    if count > tensor.storage.numel or prod(max(n, 1) for n in tensor.shape) > MAX_FILE:
        raise _too_large(name, tensor)
    # torch writes an arbitrary stride for an axis of length one; the canonical one shows that a tensor is contiguous.
    canonical = contiguous_stride(tensor.shape)
    stride = tuple(c if n == 1 else s for n, s, c in zip(tensor.shape, tensor.stride, canonical, strict=True))
    storage = container.storages[tensor.storage.key]
    return SourceTensor(tensor.storage.dtype, tensor.shape, stride, tensor.offset if count else 0, storage)


def _validate_name(name: str) -> None:
    if not name.isprintable() or "/" in name or not 0 < len(name) <= _MAX_NAME or name.startswith("__"):
        raise InputError(f"{printable(repr(name), 60)} is not a valid tensor name", "re-save the model's state dict")


def _vet_view(name: str, tensor: TensorMeta, container: Container) -> None:
    storage, shown = tensor.storage, printable(name, _MAX_NAME)
    found = container.storages.get(storage.key)
    if found is None:
        raise InputError(f"the storage of {shown} is not in the file", HINT_REDOWNLOAD)
    if found.nbytes != storage.nbytes:
        raise InputError(
            f"the storage of {shown} has {found.nbytes:,} bytes, expected {storage.nbytes:,}", HINT_REDOWNLOAD
        )
    if len(tensor.shape) != len(tensor.stride):
        raise InputError(
            f"{shown} has {len(tensor.shape)} axes but {len(tensor.stride)} strides", "re-save the checkpoint"
        )
    if prod(tensor.shape) and tensor.offset + reach(tensor.shape, tensor.stride) >= storage.numel:
        raise _too_large(name, tensor)


def _too_large(name: str, tensor: TensorMeta) -> InputError:
    return InputError(
        f"{printable(name, _MAX_NAME)} of shape {list(tensor.shape)} needs more data than its storage has",
        "call contiguous() on the tensors and save them again",
    )


def notes(tensors: Mapping[str, SourceTensor]) -> Iterator[str]:
    """Notes for people, one line each: dtype conversions, strided tensors, shared storages."""
    floats = [t for t in tensors.values() if t.dtype in FLOATS]
    for dtype in FLOATS[1:]:
        count = sum(t.dtype == dtype for t in floats)
        if count:
            how = "rounded to float32" if dtype == "float64" else "widened to float32 (exact)"
            yield f"{dtype} tensors {how}: {count}"
    strided = sum(t.stride != contiguous_stride(t.shape) for t in floats)
    if strided:
        yield f"non-contiguous tensors copied element by element: {strided}"
    if len({t.bytes for t in floats}) < len(floats):
        yield "some tensors share storage; each is written in full"
