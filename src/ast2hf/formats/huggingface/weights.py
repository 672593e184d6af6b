"""Write ``model.safetensors``: bytes copied from the source file, and computed tensors.

Format: 8 bytes with the length of the header (little-endian), the header as JSON padded with spaces to a multiple of 8,
the tensors without gaps (safetensors' own README). Copied bytes pass through one small buffer, whereas safetensors' own
writer would need every tensor in memory or mapped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from math import prod
from pathlib import Path

from ast2hf.checkpoint.container import BLOCK_SIZE, blocks
from ast2hf.checkpoint.state_dict import StateDict
from ast2hf.checkpoint.tensor_meta import ITEMSIZE
from ast2hf.mapping.ops import Identity, Sizes
from ast2hf.mapping.plan import Plan, Step

_ITEMSIZE = ITEMSIZE["float32"]


def header(plan: Plan) -> bytes:
    """The length field and the header for the targets of ``plan``, in its order."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in plan.targets.items():
        end = position + prod(shape) * _ITEMSIZE
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(path: Path, plan: Plan, state_dict: StateDict) -> int:
    """Write the targets of ``plan`` to a new file; return its size in bytes. Raises OSError."""
    buffer = bytearray(BLOCK_SIZE)
    with path.open("xb", buffering=0) as file:
        _write_all(file.fileno(), memoryview(header(plan)))
        for step in plan.steps:
            for block in _elements(step, state_dict, buffer):
                _write_all(file.fileno(), block)
        return file.tell()


def as_they_are(names: Collection[str], shapes: Mapping[str, Sizes]) -> Plan:
    """The plan that copies the tensors ``names`` under their own names."""
    return Plan(tuple(Step((n,), (n,), Identity(), (shapes[n],), (shapes[n],)) for n in names))


def _elements(step: Step, state_dict: StateDict, buffer: bytearray) -> Iterator[memoryview]:
    if step.op.copies:
        source = state_dict.tensors[step.sources[0]]
        if source.is_plain:
            yield from blocks(state_dict.checkpoint.fd, source.bytes, buffer)
            return
    for tensor in step.op(*map(state_dict.read, step.sources)):
        yield memoryview(tensor.contiguous().numpy().tobytes())


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
