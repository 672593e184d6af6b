"""Limits on what a small file may demand: layers that share their tensors can make a huge model, slow to build."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from ast2hf.checkpoint.tensor_meta import ITEMSIZE
from ast2hf.errors import InputError

MAX_LAYERS = 128
"""Largest number of layers in a file. Published models have 12; each layer costs time, whatever its size."""

MAX_GROWTH = 4
"""Bytes written per byte of the file. Half precision doubles; tensors that share a storage are each written in full."""

_REMEDY = "save the model's own state dict, each tensor once"


def check_layers(count: int) -> None:
    """Raise InputError if a model of ``count`` layers is too deep."""
    if count > MAX_LAYERS:
        raise InputError(f"the checkpoint has {count:,} layers, over the limit of {MAX_LAYERS}", _REMEDY)


def check_growth(shapes: Iterable[tuple[int, ...]], source: int) -> None:
    """Raise InputError if float32 tensors of ``shapes`` take too many bytes for a file of ``source`` bytes."""
    written = sum(prod(shape) * ITEMSIZE["float32"] for shape in shapes)
    if written > MAX_GROWTH * source:
        raise InputError(
            f"the checkpoint would grow from {source:,} to {written:,} bytes, over the limit of {MAX_GROWTH} times",
            _REMEDY,
        )
