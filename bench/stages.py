"""One stage of a conversion in a process of its own; its seconds, and the memory before it, as JSON on stdout."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from zlib_ng import zlib_ng  # noqa: F401  imported where it is used: here, so that it counts as an import

from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import Checkpoint, open_checkpoint
from ast2hf.families.ast import AST
from ast2hf.families.base import CLASSIFICATION
from ast2hf.families.geometry import Geometry
from ast2hf.formats.huggingface import weights
from ast2hf.mapping.plan import make_plan

STATUS = Path("/proc/self/status")


def write(checkpoint: Checkpoint, geometry: Geometry, output: Path) -> None:
    """Plan and write, as the pipeline does."""
    state_dict = checkpoint.select([Part(prefix="module.")])
    plan = make_plan(AST.table(CLASSIFICATION), geometry.num_hidden_layers, geometry.dimensions(), state_dict.shapes)
    weights.write(output, plan, state_dict)


def read(path: Path, geometry: Geometry, output: Path) -> float:
    """Open, check every byte, vet, and wait for the SHA-256."""
    start = time.perf_counter()
    with open_checkpoint(path) as checkpoint:
        _ = checkpoint.sha256
        return time.perf_counter() - start


def convert(path: Path, geometry: Geometry, output: Path) -> float:
    """Plan and write, from a checkpoint that is open and vetted."""
    with open_checkpoint(path) as checkpoint:
        _ = checkpoint.sha256
        start = time.perf_counter()
        write(checkpoint, geometry, output)
        return time.perf_counter() - start


def both(path: Path, geometry: Geometry, output: Path) -> float:
    """Read, vet, plan and write; the SHA-256 is computed beside the rest, as in a run."""
    start = time.perf_counter()
    with open_checkpoint(path) as checkpoint:
        write(checkpoint, geometry, output)
        _ = checkpoint.sha256
        return time.perf_counter() - start


def read_in_run(path: Path, geometry: Geometry, output: Path) -> float:
    """What a run waits for: the hash is computed while it imports torch and transformers, and asked for later."""
    start = time.perf_counter()
    with open_checkpoint(path) as checkpoint:
        opened = time.perf_counter() - start
        importlib.import_module("ast2hf.formats.huggingface.loading")
        start = time.perf_counter()
        _ = checkpoint.sha256
        return opened + time.perf_counter() - start


def sha(path: Path, geometry: Geometry, output: Path) -> float:
    """The SHA-256 alone: no reading can be faster than this."""
    start = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - start


STAGES: dict[str, Callable[[Path, Geometry, Path], float]] = {
    stage.__name__: stage for stage in (read, convert, both, read_in_run, sha)
}


if __name__ == "__main__":
    stage, path, output, geometry = sys.argv[1:]
    arguments = Path(path), Geometry(**json.loads(geometry)), Path(output)
    status = STATUS.read_text() if STATUS.exists() else ""
    imported = time.perf_counter()
    seconds = STAGES[stage](*arguments)
    print(json.dumps({"seconds": seconds, "imported": imported, "status": status}))
