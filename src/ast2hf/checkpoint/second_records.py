"""How the second reading gets the bytes of a file's storages: from zipfile, or (legacy format) by counting."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from ast2hf.checkpoint.second_pickles import Storage, loads
from ast2hf.errors import InputError

DTYPES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8", "QInt8Storage": "int8", "QUInt8Storage": "uint8",
    "QInt32Storage": "int32",
}  # fmt: skip
"""By the class name that torch.save writes; the last four belong to tensors that are not used but have a size."""

_BLOCK = 1 << 20
"""Bytes read at a time."""

Records = Callable[[Storage], bytearray]
"""The bytes of a storage."""


def _zip(fd: int, vetted: bytes) -> tuple[object, Records]:
    archive = zipfile.ZipFile(_File(fd))
    (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    _require_same(archive.read(name), vetted)
    (root,), _ = loads(vetted)

    def record(storage: Storage) -> bytearray:
        info = archive.getinfo(f"{name.removesuffix('.pkl')}/{storage.key}")
        data = bytearray(info.file_size)
        view = memoryview(data)
        with archive.open(info) as file:  # which checks the sum at the end
            for position in range(0, len(data), _BLOCK):
                block = file.read(min(_BLOCK, len(data) - position))
                view[position : position + len(block)] = block
        return data

    return root, record


def _legacy(fd: int, vetted: bytes) -> tuple[object, Records]:
    _require_same(b"".join(blocks(fd, 0, len(vetted), _BLOCK)), vetted)
    import torch

    (_, _, _, root, keys), storages = loads(vetted, 5)
    places: dict[str, tuple[int, int]] = {}
    position = len(vetted)
    for key in keys:
        count = int.from_bytes(os.pread(fd, 8, position), "little")
        nbytes = count * getattr(torch, DTYPES[storages[key].kind]).itemsize
        places[key] = position + 8, nbytes
        position += 8 + nbytes

    def record(storage: Storage) -> bytearray:
        offset, nbytes = places[storage.key]
        return bytearray().join(blocks(fd, offset, nbytes, _BLOCK))

    return root, record


FORMATS: dict[str, Callable[[int, bytes], tuple[object, Records]]] = {"zip": _zip, "legacy": _legacy}
"""By format: a function from an open file and the vetted bytes of its pickle to its object and its storages' bytes."""


def _require_same(found: bytes, vetted: bytes) -> None:
    if found != vetted:
        raise InputError(
            "the checkpoint changed while it was being read", "wait until nothing writes to it, and try again"
        )


def blocks(fd: int, offset: int, nbytes: int, size: int) -> Iterator[bytes]:
    """The ``nbytes`` at ``offset``, at most ``size`` at a time. Raises EOFError if the file ends early."""
    end = offset + nbytes
    while offset < end:
        block = os.pread(fd, min(size, end - offset), offset)
        if not block:
            raise EOFError
        yield block
        offset += len(block)


class _File(io.RawIOBase):
    """The open file with a separate position."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._fd).st_size}[whence]
        if start + offset < 0:
            raise OSError("a negative position")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        count = os.preadv(self._fd, [buffer], self._position)
        self._position += count
        return count
