"""What a small file may ask for: layers that share their tensors make a large model of it, slow to build."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from ast2hf.checkpoint.tensor_meta import ITEMSIZE
from ast2hf.errors import InputError

MAX_LAYERS = 128
"""Of a depth that a file says. The published models have 12; each layer costs time, whatever its size."""

MAX_GROWTH = 4
"""Bytes written, in bytes of the file. Half precision doubles; tensors that share a storage are written one by one."""

_REMEDY = "save the model's own state dict, each tensor once"


def check_layers(count: int) -> None:
    """Raise InputError where a model of ``count`` layers is too deep."""
    if count > MAX_LAYERS:
        raise InputError(f"the checkpoint has {count:,} layers, over the limit of {MAX_LAYERS}", _REMEDY)


def check_growth(shapes: Iterable[tuple[int, ...]], source: int) -> None:
    """Raise InputError where float32 tensors of ``shapes`` take too many bytes for a file of ``source`` bytes."""
    written = sum(prod(shape) * ITEMSIZE["float32"] for shape in shapes)
    if written > MAX_GROWTH * source:
        raise InputError(
            f"the checkpoint has {source:,} bytes and would become {written:,}, over the limit of {MAX_GROWTH} times",
            _REMEDY,
        )
