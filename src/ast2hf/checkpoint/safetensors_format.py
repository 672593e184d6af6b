"""The format of ``safetensors``: the length of a JSON header, the header, the tensors without gaps or overlaps.

Source: the README of safetensors. The same checks are made here; according to it, the header may end in spaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ast2hf.checkpoint.container import HINT_REDOWNLOAD, HINT_RESAVE, MAX_PICKLE, ByteRange, Container
from ast2hf.checkpoint.opaque import Opaque, is_writable
from ast2hf.checkpoint.rebuilding import MAX_AXES, is_size
from ast2hf.checkpoint.tensor_meta import ITEMSIZE, Storage, TensorMeta
from ast2hf.checkpoint.validate import contiguous_stride
from ast2hf.errors import InputError, printable

_DTYPES = {
    "F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip

_NEWER = {"U16": 2, "U32": 4, "U64": 8, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1}
"""Bytes per element of the dtypes that no model here can use."""

_METADATA = "__metadata__"

_HINT = "re-save it with safetensors.torch.save_file"


class _Entry(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]
    place: ByteRange


def open_safetensors(path: Path, file: BinaryIO, size: int) -> Container:
    """Validate the file and read its header. Raises InputError."""
    name = printable(path)
    length = int.from_bytes(os.pread(file.fileno(), 8, 0), "little")
    if length > MAX_PICKLE:
        raise InputError(f"the header of {name} has {length:,} bytes, over the limit of {MAX_PICKLE:,}", _HINT)
    text = os.pread(file.fileno(), length, 8)
    if len(text) < length:
        raise InputError(f"{name} ends in the middle of its header", HINT_REDOWNLOAD)
    entries = sorted(_entries(name, text, 8 + length), key=lambda entry: (entry.place.offset, entry.place.nbytes))
    end = 8 + length
    for entry in entries:
        if entry.place.offset != end:
            what = "overlap" if entry.place.offset < end else "leave a gap"
            raise InputError(f"the tensors of {name} {what} ({printable(entry.name, 100)})", _HINT)
        end += entry.place.nbytes
    if end != size:
        raise InputError(f"{name} has {size:,} bytes, expected {end:,}", HINT_REDOWNLOAD)
    root: dict[str, object] = {}
    storages: dict[str, ByteRange] = {}
    tensors: list[TensorMeta] = []
    for entry in entries:
        if entry.dtype in _NEWER:
            root[entry.name] = Opaque("safetensors.tensor", (entry.dtype, entry.shape))
            continue
        storage = Storage(entry.name, _DTYPES[entry.dtype], prod(entry.shape))
        tensors.append(TensorMeta(storage, 0, entry.shape, contiguous_stride(entry.shape)))
        root[entry.name] = tensors[-1]
        storages[entry.name] = entry.place
    return Container("safetensors", root, tensors, storages)


def _entries(name: str, text: bytes, start: int) -> Iterator[_Entry]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the header of {name} is damaged ({printable(error, 80)})", HINT_REDOWNLOAD) from None
    if type(header) is not dict or not all(map(is_writable, header)):
        raise InputError(f"the header of {name} is not a JSON object of named tensors", HINT_REDOWNLOAD)
    metadata = header.pop(_METADATA, {})
    if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
        raise InputError(f"the {_METADATA} of {name} is not text", _HINT)
    for tensor, described in header.items():
        yield _entry(tensor, described, start)


def _entry(name: str, described: object, start: int) -> _Entry:
    shown = printable(name, 100)
    match described:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [first, last], **rest} if (
            type(first) is type(last) is int and not rest
        ):
            pass
        case _:
            raise InputError(f"the header's entry for tensor {shown} does not follow the safetensors format", _HINT)
    itemsize = _NEWER.get(dtype) or ITEMSIZE.get(_DTYPES.get(dtype, ""))
    if itemsize is None:
        raise InputError(f"tensor {shown} has the unknown dtype {printable(dtype, 40)}", HINT_RESAVE)
    if len(shape) > MAX_AXES or not all(map(is_size, shape)):
        raise InputError(f"tensor {shown} has an invalid shape", _HINT)
    if not 0 <= first <= last:
        raise InputError(f"tensor {shown} has invalid offsets", _HINT)
    if last - first != prod(shape) * itemsize:
        raise InputError(f"tensor {shown} has {last - first:,} bytes, expected {prod(shape) * itemsize:,}", _HINT)
    return _Entry(name, dtype, tuple(shape), ByteRange(start + first, last - first))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    return found
