"""What both containers that ``torch.save`` has written, zip and legacy, come down to: a pickle and its records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ast2hf.checkpoint.tensor_records import TensorRecord
from ast2hf.errors import InputError

MAX_FILE = 16 << 30
"""Bytes. A base model has 0.35 GB; with its optimizer about 1 GB."""

MAX_PICKLE = 4 << 20
"""Bytes. The pickle of a base model, which holds names and shapes only, has about 30 KB."""

AGAIN = "the file is incomplete or damaged: fetch it again"

RESAVE = "save the state dict alone: torch.save(model.state_dict(), path)"

BLOCK = 512 << 10


@dataclass(frozen=True)
class Record:
    """The bytes of one storage inside the file."""

    offset: int
    nbytes: int


@dataclass(frozen=True)
class Container:
    """A vetted file: its pickle (interpreted by :mod:`pickles`) and, by storage key, where each record lies.

    ``tensors``: all that the pickle describes, wherever in ``root`` they are.
    """

    format: str
    root: object
    tensors: Sequence[TensorRecord]
    records: Mapping[str, Record]


def blocks(fd: int, record: Record, buffer: bytearray | None = None) -> Iterator[memoryview]:
    """The bytes of ``record``, in pieces of at most ``buffer``'s size. Raises InputError where the file ends early."""
    view = memoryview(bytearray(BLOCK) if buffer is None else buffer)
    offset, end = record.offset, record.offset + record.nbytes
    while offset < end:
        count = os.preadv(fd, [view[: min(len(view), end - offset)]], offset)
        if count == 0:
            raise InputError("the checkpoint became shorter while it was read", "leave the file alone and try again")
        yield view[:count]
        offset += count


def read(fd: int, record: Record) -> bytearray:
    """The bytes of ``record``, in memory."""
    data = bytearray(record.nbytes)
    position = 0
    for block in blocks(fd, record):
        data[position : position + len(block)] = block
        position += len(block)
    return data
