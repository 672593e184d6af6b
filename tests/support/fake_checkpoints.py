"""Checkpoints of names and shapes alone, for what is decided before a weight is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
from support import ROOT

Shapes = Mapping[str, Sequence[int]]

_KEYS = json.loads((ROOT / "tests" / "data" / "family_keys.json").read_text(encoding="utf-8"))

FAMILY_FILES = tuple(_KEYS)
"""Of each family a file as its own code saves it: names, shapes and dtypes (golden figures of the project)."""


@dataclass(frozen=True)
class FakeCandidate:
    keys: tuple[str | int, ...]
    tensors: Mapping[str, TensorMeta]
    unusable: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeStateDict:
    checkpoint: FakeCheckpoint
    parts: tuple[Any, ...]
    tensors: Mapping[str, Any]
    outside: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def values(self, name: str) -> Any:
        return np.full(self.tensors[name].shape, self.constants[name])

    def require_floats(self, names: Any) -> None:
        for name in names:
            assert self.tensors[name].dtype.startswith(("float", "bfloat"))


class FakeCheckpoint:
    """``mappings``: shapes by the keys that lead to them; ``values``: of a tensor by its name in the file.

    Values that are not given are 0.5 everywhere, so that nothing is all zeros or all ones by chance.
    """

    def __init__(
        self, mappings: Mapping[tuple[str, ...], Shapes], values: Mapping[str, float] | None = None,
        opaque: Mapping[str, int] | None = None, shared: bool = False, dtypes: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.path = Path("best.pth")
        self.nbytes = 1
        self.format = "zip"
        self.opaque = dict(opaque or {})
        self._values = dict(values or {})
        dtypes = dtypes or {}
        self.candidates = tuple(
            FakeCandidate(
                keys,
                {n: _tensor(n if shared else "/".join((*map(str, keys), n)), tuple(s), dtypes.get(n, "float32"))
                 for n, s in shapes.items()},
            )
            for keys, shapes in mappings.items()
        )  # fmt: skip

    def select(self, parts: Sequence[Any]) -> FakeStateDict:
        by_keys = {candidate.keys: candidate for candidate in self.candidates}
        tensors: dict[str, Any] = {}
        constants: dict[str, float] = {}
        outside: dict[str, tuple[int, ...]] = {}
        for part in parts:
            for name, tensor in by_keys[part.keys].tensors.items():
                if not part.takes(name):
                    outside[name] = tensor.shape
                    continue
                renamed = part.renamed(name)
                tensors[renamed] = SimpleNamespace(shape=tensor.shape, dtype=tensor.storage.dtype)
                constants[renamed] = self._values.get(name, 0.5)
        return FakeStateDict(self, tuple(parts), tensors, outside, constants)


def family_shapes(key: str, *, prefix: bool = True) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the family file ``key``, as in the file or without ``module.``."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape, *_ in _KEYS[key]["tensors"]:
        layers = range(_KEYS[key]["layers"]) if "{layer}" in name else [0]
        for layer in layers:
            full = name.replace("{layer}", str(layer))
            found[full if prefix else full.removeprefix("module.")] = tuple(shape)
    return found


def family_file(key: str, values: Mapping[str, float] | None = None, **shapes: Any) -> FakeCheckpoint:
    """The family file ``key``, wrapped as its own code does it, with the values that real ones are known to have."""
    entry = _KEYS[key]
    mappings: dict[tuple[str, ...], Shapes] = {tuple(entry["keys"]): {**family_shapes(key), **shapes}}
    if "classifier" in entry:
        mappings[("classifier",)] = dict(entry["classifier"])
    dtypes = {name: dtype[0] for name, _, *dtype in entry["tensors"] if dtype}
    return FakeCheckpoint(mappings, {**exactly(key), **(values or {})}, dtypes=dtypes)


def exactly(key: str) -> dict[str, float]:
    """Constants in real files of the family: no ImageNet start, sizes of the pretraining, an untrained head."""
    if key == "patchmix":
        return {"mlp_head.0.weight": 1, "mlp_head.0.bias": 0}
    if not key.startswith("ssast"):
        return {}
    zeros = dict.fromkeys(("module.v.head.bias", "module.v.head_dist.bias"), 0)
    return {**zeros, "module.p_input_fdim": 128, "module.p_input_tdim": 1024}


def ast_shapes(
    width: int = 192, layers: int = 2, patches: int = 512, labels: int = 7, kernel: tuple[int, int] = (16, 16),
    head: bool = True, mlp: int = 4,
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Names and shapes of an AST without prefix."""
    found: dict[str, tuple[int, ...]] = {
        "v.cls_token": (1, 1, width),
        "v.pos_embed": (1, 2 + patches, width),
        "v.dist_token": (1, 1, width),
        "v.patch_embed.proj.weight": (width, 1, *kernel),
        "v.patch_embed.proj.bias": (width,),
    }
    for layer in range(layers):
        found |= {
            f"v.blocks.{layer}.{name}": shape
            for name, shape in {
                "norm1.weight": (width,), "norm1.bias": (width,),
                "attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,),
                "attn.proj.weight": (width, width), "attn.proj.bias": (width,),
                "norm2.weight": (width,), "norm2.bias": (width,),
                "mlp.fc1.weight": (mlp * width, width), "mlp.fc1.bias": (mlp * width,),
                "mlp.fc2.weight": (width, mlp * width), "mlp.fc2.bias": (width,),
            }.items()
        }  # fmt: skip
    found |= {"v.norm.weight": (width,), "v.norm.bias": (width,)}
    found |= {"v.head.weight": (1000, width), "v.head.bias": (1000,)}
    if head:
        found |= {"mlp_head.0.weight": (width,), "mlp_head.0.bias": (width,)}
        found |= {"mlp_head.1.weight": (labels, width), "mlp_head.1.bias": (labels,)}
    return found


def prefixed(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {prefix + name: tuple(shape) for name, shape in shapes.items()}


def _tensor(key: str, shape: tuple[int, ...], dtype: str) -> TensorMeta:
    stride = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return TensorMeta(Storage(key, dtype, math.prod(shape)), 0, shape, stride)
