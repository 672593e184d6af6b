"""The device of the proof, and its arithmetic."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ast2hf.errors import ConfigurationError, first_line, printable

_FULL_PRECISION = threading.Lock()

_NO_MEMORY = re.compile("out of memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED")


def resolve(name: str) -> str:
    """The device to use: ``cpu``, ``cuda`` (or ``cuda:1``) or ``mps``; ``auto``: the first available of cuda, mps, cpu.

    Raises ConfigurationError if the device is not available. For ``cpu``, torch is not imported.
    """
    if name == "cpu":
        return name
    kind, index = _parsed(name)
    import torch

    if kind == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if index >= count:
        there = f"there are {kind}:0 to {kind}:{count - 1}" if count > 1 else f"there is one {kind} device"
        raise ConfigurationError(
            f"device {name} is not available in this torch ({torch.__version__})" + (f": {there}" if count else ""),
            "choose device=cpu or device=auto",
        )
    return name


def _parsed(name: str) -> tuple[str, int]:
    """The kind and the index (default 0), in the notation that torch accepts, so without leading zeros."""
    found = re.fullmatch("(cuda)(?::(0|[1-9][0-9]{0,2}))?|(auto|mps)", name)
    if found is None:
        raise ConfigurationError(f"device {printable(name)} is unknown", "choose cpu, cuda, cuda:1, mps or auto")
    return found[1] or found[3], int(found[2] or 0)


@contextmanager
def enough_memory(device: str, smaller: str | None = None) -> Iterator[None]:
    """Raise ConfigurationError if ``device`` runs out of memory inside.

    ``smaller``: a setting that needs less of it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        settings = " or ".join(filter(None, [smaller, None if device == "cpu" else "device=cpu"]))
        raise ConfigurationError(
            f"{device} ran out of memory ({printable(first_line(error), 120)})",
            (f"set {settings}, or " if settings else "") + "free some memory",
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch's allocator for the CPU, CUDA, cuBLAS or MPS had no memory left.

    The texts are those of torch 2.13, in which only CUDA's allocator has a dedicated exception class.
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))


@contextmanager
def full_precision() -> Iterator[None]:
    """Full float32 precision: no TF32 in matrix products, convolutions and attention; no gradients.

    These settings are process-wide, so only one thread at a time may be inside.
    """
    import torch

    with _FULL_PRECISION:
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]
