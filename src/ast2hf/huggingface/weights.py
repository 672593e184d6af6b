"""Write ``model.safetensors`` as byte ranges of the source file, one after the other, through one small buffer.

Format: 8 bytes length of the header (little-endian), the header as JSON padded with spaces to a multiple of 8, the
tensors without gaps (safetensors' own README). No weights are held in memory, and no model is built.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ast2hf.checkpoint.container import BLOCK_SIZE, ByteRange, blocks
from ast2hf.checkpoint.state_dict import Checkpoint
from ast2hf.checkpoint.tensor_meta import ITEMSIZE
from ast2hf.mapping.plan import Plan, Slice

FILENAME = "model.safetensors"

_ITEMSIZE = ITEMSIZE["float32"]
"""Of the dtype that is written."""


def header(plan: Plan) -> bytes:
    """Length and header for the targets of ``plan``, in its order."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for s in plan.slices:
        end = position + (s.stop - s.start) * _ITEMSIZE
        entries[s.target] = {"dtype": "F32", "shape": list(s.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(path: Path, plan: Plan, checkpoint: Checkpoint) -> int:
    """Write the targets of ``plan`` to a new file; return its size in bytes. Raises OSError."""
    buffer = bytearray(BLOCK_SIZE)
    with path.open("xb", buffering=0) as file:
        _write_all(file.fileno(), memoryview(header(plan)))
        for s in plan.slices:
            for block in _elements(s, checkpoint, buffer):
                _write_all(file.fileno(), block)
        return file.tell()


def _elements(s: Slice, checkpoint: Checkpoint, buffer: bytearray) -> Iterator[memoryview]:
    source = checkpoint.tensors[s.source]
    if source.is_plain:
        start = source.bytes.offset + s.start * _ITEMSIZE
        yield from blocks(checkpoint.fd, ByteRange(start, (s.stop - s.start) * _ITEMSIZE), buffer)
    else:
        yield memoryview(checkpoint.read(s.source).reshape(-1)[s.start : s.stop].numpy().tobytes())


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
