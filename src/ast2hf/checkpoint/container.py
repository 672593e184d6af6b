"""What the two formats of ``torch.save``, zip and legacy, have in common: a pickle and the bytes of its storages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ast2hf.checkpoint.tensor_meta import TensorMeta
from ast2hf.errors import InputError

MAX_FILE = 16 << 30
"""Bytes. A base model has 0.35 GB; with its optimizer about 1 GB."""

MAX_PICKLE = 4 << 20
"""Bytes. The pickle of a base model, which holds names and shapes only, has about 30 KB."""

HINT_REDOWNLOAD = "the file is incomplete or damaged: download it again"

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
    """A validated file: its object as :mod:`pickles` reads it and, by storage key, where each storage lies.

    ``tensors``: all that the pickle describes, wherever in ``root`` they are.
    ``pickled``: the bytes that were vetted, of the pickle or, in the legacy format, of all five. The second reading
    must find the same.
    """

    format: str
    root: object
    tensors: Sequence[TensorMeta]
    storages: Mapping[str, ByteRange]
    pickled: bytes = b""


def blocks(fd: int, place: ByteRange, buffer: bytearray | None = None) -> Iterator[memoryview]:
    """The bytes at ``place``, in pieces of at most ``buffer``'s size. Raises InputError where the file ends early."""
    view = memoryview(bytearray(BLOCK_SIZE) if buffer is None else buffer)
    offset, end = place.offset, place.offset + place.nbytes
    while offset < end:
        count = os.preadv(fd, [view[: min(len(view), end - offset)]], offset)
        if count == 0:
            raise InputError(
                "the checkpoint became shorter while it was read", "wait until nothing writes to it and try again"
            )
        yield view[:count]
        offset += count


def read(fd: int, place: ByteRange) -> bytearray:
    """The bytes at ``place``, in memory. Raises InputError where the file ends early."""
    data = bytearray(place.nbytes)
    position = 0
    for block in blocks(fd, place):
        data[position : position + len(block)] = block
        position += len(block)
    return data
