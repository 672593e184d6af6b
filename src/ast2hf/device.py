"""Where the proof is computed, and in which arithmetic."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ast2hf.errors import ConfigurationError, printable

if TYPE_CHECKING:
    import torch

_FULL_PRECISION = threading.Lock()

_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""In the RuntimeErrors of torch's allocators for the CPU, on Linux and elsewhere, and for mps."""


def resolve(name: str) -> str:
    """The device to use: ``cpu``, ``cuda`` (or ``cuda:1``) or ``mps``; ``auto`` is the first there of cuda, mps, cpu.

    What is asked for and absent is a ConfigurationError. For ``cpu`` torch is not imported.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and (not index or index.isdecimal()):
        present = int(index or 0) < torch.cuda.device_count()
    elif name == "mps":
        present = torch.backends.mps.is_available()
    else:
        raise ConfigurationError(f"device {printable(name)} is unknown", "choose cpu, cuda, mps or auto")
    if not present:
        raise ConfigurationError(
            f"device {name} is not available to this torch ({torch.__version__})", "choose device=cpu or device=auto"
        )
    return name


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in full: no TF32 in matrix products, convolutions and attention; no gradients.

    These are settings of the process, so one thread at a time may be inside.
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


@contextmanager
def enough_memory(device: torch.device, batch_size: int, key: str) -> Iterator[None]:
    """Raise ConfigurationError where memory does not suffice for a batch. ``key``: the setting of its size."""
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError; on a CPU it has no class
        out = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not out and not any(text in str(error) for text in _OUT_OF_MEMORY):
            raise
        raise ConfigurationError(
            f"the memory of {device} does not suffice for a batch of {batch_size}",
            f"give {key}={batch_size // 2}" if batch_size > 1 else "end what else uses it, or choose another device=…",
        ) from error
