"""A synthetic checkpoint of given shapes, bit-identical on every machine, for tests and for trials without network.

A tensor is filled from its original parameter name (without ``module.``), its shape and a seed, by the counter-based
generator splitmix64 (constants: Steele, Lea and Flood 2014). Linear weights have variance 1 / fan-in, so that
activations stay in the range of a trained network.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ast2hf.families.base import CLASSIFICATION, Family
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, expand, sizes

if TYPE_CHECKING:
    from torch import Tensor

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


def uniform(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Values of ``shape`` in [-sqrt(3), sqrt(3)): mean 0, variance 1."""
    start = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        z = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
        z *= _GAMMA
        z += np.uint64(start)
        for shift, factor in _MIX:
            z ^= z >> shift
            z *= factor
        z ^= z >> np.uint64(31)
    z >>= np.uint64(40)
    unit = z.astype(np.float32) * np.float32(2**-23) - np.float32(1)
    return (unit * np.float32(math.sqrt(3))).reshape(shape)


def weight(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """One parameter of the original model by its original name."""
    noise = uniform(name, shape, seed)
    if not name.endswith(".weight"):  # biases, tokens, position embeddings
        return np.float32(0.02) * noise
    if len(shape) == 1:  # layer norms
        return np.float32(1) + np.float32(0.1) * noise
    return noise * np.float32(1 / math.sqrt(math.prod(shape[1:])))


def spectrogram(geometry: Geometry, seed: int) -> NDArray[np.float32]:
    """A model input of shape (1, max_length, num_mel_bins), standard deviation 0.5."""
    return np.float32(0.5) * uniform("input_values", (1, geometry.max_length, geometry.num_mel_bins), seed)


def shapes(family: Family, geometry: Geometry) -> dict[str, Sizes]:
    """Original names, without ``module.``, and shapes of a checkpoint, including tensors that are not used."""
    dimensions = geometry.dimensions()
    found: dict[str, Sizes] = {}
    for rule in expand(family.table(CLASSIFICATION), geometry.num_hidden_layers):
        if isinstance(rule, Drop):
            found[rule.source] = sizes(rule.shape, dimensions)
        else:
            found |= {name: sizes(shape, dimensions) for name, shape in zip(rule.sources, rule.shapes, strict=True)}
    return found


def state_dict(family: Family, geometry: Geometry, seed: int, prefix: str = "module.") -> dict[str, Tensor]:
    """The tensors, in memory, named as in the official checkpoints."""
    import torch

    tensors = shapes(family, geometry)
    return {prefix + name: torch.from_numpy(weight(name, shape, seed)) for name, shape in tensors.items()}


def write(path: Path, family: Family, geometry: Geometry, seed: int) -> None:
    """Save the tensors to ``path`` as the authors' code saves a model."""
    import torch

    torch.save(state_dict(family, geometry, seed), path)
