"""Where the proof is computed, and in which arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ast2hf.errors import ConfigurationError, printable

if TYPE_CHECKING:
    import torch


def resolve(name: str) -> torch.device:
    """``cpu``, ``cuda`` (or ``cuda:1``), ``mps`` or ``auto``. What is asked for and absent is a ConfigurationError."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in available.items() if present))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in available:
        raise ConfigurationError(f"device {printable(name)} is unknown", "choose cpu, cuda, mps or auto")
    present = available[device.type]
    if device.type == "cuda" and device.index is not None:
        present = present and device.index < torch.cuda.device_count()
    if not present:
        raise ConfigurationError(
            f"device {name} is not available to this torch ({torch.__version__})", "choose device=cpu or device=auto"
        )
    return device


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in full: no TF32 in matrix products, convolutions and attention; no gradients."""
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
