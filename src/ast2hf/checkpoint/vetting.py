"""From an interpreted pickle to the tensors of its state dict, each checked against the file; nothing is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from ast2hf.checkpoint.container import AGAIN, MAX_FILE, Container, Record
from ast2hf.checkpoint.tensor_records import ITEMSIZE, TensorRecord
from ast2hf.errors import InputError, printable

FLOATS = ("float32", "float16", "bfloat16", "float64")
"""Accepted types. The model is written in float32: half precisions widen exactly, float64 is rounded, which is said."""

WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "module")
"""Keys under which training scripts put the state dict."""

DATA_PARALLEL = "module."
"""What torch.nn.DataParallel puts before every name; the published checkpoints have it."""

_MAX_NAME = 200


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of the file. ``record`` holds its storage; offset and strides in elements."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    record: Record

    @property
    def is_plain(self) -> bool:
        """Float32 and contiguous: its bytes in the file are its bytes in the output."""
        return self.dtype == "float32" and self.stride == contiguous_stride(self.shape)

    @property
    def bytes(self) -> Record:
        """Where the elements of a contiguous tensor lie."""
        size = ITEMSIZE[self.dtype]
        return Record(self.record.offset + self.offset * size, prod(self.shape) * size)

    @property
    def span(self) -> Record:
        """From the first to the last of the elements, which must not be none."""
        size = ITEMSIZE[self.dtype]
        return Record(self.record.offset + self.offset * size, (1 + reach(self.shape, self.stride)) * size)


def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    stride: list[int] = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= max(size, 1)
    return tuple(reversed(stride))


def reach(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """How many elements the last of a tensor that is not empty lies behind its first."""
    return sum((n - 1) * s for n, s in zip(shape, stride, strict=True))


def unwrap(root: object) -> tuple[Mapping[object, object], tuple[str, ...]]:
    """The mapping of names to tensors inside ``root``, and the keys that lead to it."""
    if not isinstance(root, dict):
        kind = {"list": "a list", "tuple": "a tuple", "TensorRecord": "a single tensor"}.get(
            type(root).__name__, "no dict"
        )
        raise InputError(
            f"the checkpoint holds {kind}, not a state dict", "give the file saved from model.state_dict()"
        )
    if _is_state_dict(root):
        return root, ()
    found = [key for key in WRAPPERS if _is_state_dict(root.get(key))]
    if len(found) > 1:
        raise InputError(f"the checkpoint holds several state dicts: {', '.join(found)}", "save the one you mean alone")
    if found:
        return root[found[0]], (found[0],)
    if {"state", "param_groups"} <= set(root):
        raise InputError(
            "the checkpoint is the state of an optimizer",
            "give the model's file (best_audio_model.pth, not best_optim_state.pth)",
        )
    shown = ", ".join(printable(key, 40) for key in list(root)[:10]) or "nothing"
    raise InputError(
        f"the checkpoint holds no state dict (it has: {shown})", "give the file saved from model.state_dict()"
    )


def _is_state_dict(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(type(v) is TensorRecord for v in value.values())


def vet(
    state_dict: Mapping[object, object], container: Container
) -> tuple[dict[str, SourceTensor], str, tuple[str, ...]]:
    names = [_vet_name(name) for name in state_dict]
    prefix = DATA_PARALLEL if all(name.startswith(DATA_PARALLEL) for name in names) else ""
    tensors: dict[str, SourceTensor] = {}
    for name, tensor in zip(names, state_dict.values(), strict=True):
        assert isinstance(tensor, TensorRecord)
        tensors[name.removeprefix(prefix)] = _vet_tensor(name, tensor, container)
    for tensor in container.tensors:  # also those that are not wanted, because the proof's torch.load makes them
        _vet_view("a tensor beside the state dict", tensor, container)
    return tensors, prefix, tuple(_notes(tensors))


def _vet_name(name: object) -> str:
    if type(name) is not str or not name.isprintable() or "/" in name or len(name) > _MAX_NAME or name.startswith("__"):
        raise InputError(f"{printable(repr(name), 60)} is not the name of a tensor", "re-save the model's state dict")
    return name


def _vet_tensor(name: str, tensor: TensorRecord, container: Container) -> SourceTensor:
    record = _vet_view(name, tensor, container)
    dtype = tensor.storage.dtype
    if dtype not in FLOATS:
        raise InputError(f"{name} is of type {dtype}, not floating point", "save the weights as float32")
    # torch writes an arbitrary stride for an axis of length one; the canonical one lets contiguous tensors be seen.
    canonical = contiguous_stride(tensor.shape)
    stride = tuple(c if n == 1 else s for n, s, c in zip(tensor.shape, tensor.stride, canonical, strict=True))
    return SourceTensor(dtype, tensor.shape, stride, tensor.offset if prod(tensor.shape) else 0, record)


def _vet_view(name: str, tensor: TensorRecord, container: Container) -> Record:
    """The record of ``tensor``, which holds all of its elements. Raises InputError."""
    storage = tensor.storage
    record = container.records.get(storage.key)
    if record is None:
        raise InputError(f"the bytes of {name} are not in the file", AGAIN)
    if record.nbytes != storage.nbytes:
        raise InputError(
            f"the bytes of {name} have another size ({record.nbytes:,}) than its tensors say ({storage.nbytes:,})",
            AGAIN,
        )
    if len(tensor.shape) != len(tensor.stride):
        raise InputError(
            f"{name} has {len(tensor.shape)} axes but {len(tensor.stride)} strides", "re-save the checkpoint"
        )
    count = prod(tensor.shape)
    last = tensor.offset + reach(tensor.shape, tensor.stride) if count else -1
    # An expanded view has more elements than its storage; an empty one may lie anywhere, with axes of any length.
    if last >= storage.numel or count > storage.numel or prod(max(n, 1) for n in tensor.shape) > MAX_FILE:
        raise InputError(
            f"{name} of shape {list(tensor.shape)} needs more data than the file has for it",
            "save it again with tensors that are contiguous()",
        )
    return record


def _notes(tensors: Mapping[str, SourceTensor]) -> Iterator[str]:
    for dtype in FLOATS[1:]:
        count = sum(t.dtype == dtype for t in tensors.values())
        if count:
            how = "rounded to float32" if dtype == "float64" else "widened to float32, which is exact"
            yield f"{count} tensors of type {dtype} are {how}"
    strided = sum(t.stride != contiguous_stride(t.shape) for t in tensors.values())
    if strided:
        yield f"{strided} tensors are not contiguous and are copied element by element"
    if len({t.bytes for t in tensors.values()}) < len(tensors):
        yield "some tensors share their bytes; each is written out in full"
