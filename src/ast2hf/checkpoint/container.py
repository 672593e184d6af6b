"""The common part of the two formats of ``torch.save``, zip and legacy: a pickle and the bytes of its storages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ast2hf.checkpoint.tensor_meta import TensorMeta
from ast2hf.errors import InputError

MAX_FILE = 16 << 30
"""Bytes. A base model takes 0.35 GB, or about 1 GB with its optimizer."""

MAX_PICKLE = 4 << 20
"""Bytes. The pickle of a base model holds only names and shapes, about 30 KB."""

HINT_REDOWNLOAD = "download the file again: it is incomplete or damaged"

HINT_RESAVE = "save only the state dict: torch.save(model.state_dict(), path)"

BLOCK_SIZE = 512 << 10
"""Bytes that are read, and written, at a time."""


@dataclass(frozen=True)
class ByteRange:
    """A run of bytes in the file. ``offset`` from its beginning, ``nbytes`` long."""

    offset: int
    nbytes: int


@dataclass(frozen=True)
class Container:
    """A validated file: its object as read by :mod:`pickles`, and the location of each storage by key.

    ``tensors``: every tensor that the pickle describes, wherever it is in ``root``.
    ``pickled``: the vetted bytes of the pickle or, in the legacy format, of all five pickles. The second reading must
    find the same bytes.
    """

    format: str
    root: object
    tensors: Sequence[TensorMeta]
    storages: Mapping[str, ByteRange]
    pickled: bytes = b""


def blocks(fd: int, place: ByteRange, buffer: bytearray | None = None) -> Iterator[memoryview]:
    """The bytes at ``place``, in pieces of at most ``buffer``'s size. Raises InputError if the file ends early."""
    view = memoryview(bytearray(BLOCK_SIZE) if buffer is None else buffer)
    offset, end = place.offset, place.offset + place.nbytes
    while offset < end:
        count = os.preadv(fd, [view[: min(len(view), end - offset)]], offset)
        if count == 0:
            raise InputError(
                "the checkpoint shrank while it was being read", "wait until nothing writes to it, and try again"
            )
        yield view[:count]
        offset += count


def read(fd: int, place: ByteRange) -> bytearray:
    """The bytes at ``place``, in memory. Raises InputError if the file ends early."""
    data = bytearray(place.nbytes)
    position = 0
    for block in blocks(fd, place):
        data[position : position + len(block)] = block
        position += len(block)
    return data
