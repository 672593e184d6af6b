"""Checkpoints of each family as its authors' code saves them, with what that code computes for them.

``tests/data/families.json``: names without prefix and shapes of each file, of its first block for all ``blocks``.
``tests/data/families.npz``: figures in float64 of the published classes (CPU, eval mode, no autocast), by
``<case>/<what>``; ``tokens``: after the last norm, tokens 0, 1, 2 and the last, their first features. Computed from
weights of the recipe (:mod:`ast2hf.checkpoint.synthetic`) with the authors' code: YuanGongND/ast 31088be,
YuanGongND/ssast a1a3eec, kkoutini/PaSST 2a5c818, palonso/MAEST a5404c2, raymin0223/patch-mix_contrastive_learning
836b09f, JiuFengSC/FlexiAST_INTERSPEECH23 74a6ee8.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ast2hf.checkpoint import synthetic
from ast2hf.config import Variant
from ast2hf.families import FAMILIES
from ast2hf.families.base import Family
from ast2hf.families.geometry import Geometry
from support import ROOT

if TYPE_CHECKING:
    from torch import Tensor

SEED = 21

_DATA = ROOT / "tests" / "data"


@dataclass(frozen=True)
class Case:
    """``frames`` is what its authors' configuration says; strides are frequency, then time."""

    name: str
    family_name: str
    strides: tuple[int, int]
    frames: int
    bins: int = 128

    @property
    def family(self) -> Family:
        return FAMILIES[self.family_name]

    def variant(self, head: str) -> Variant:
        frequency, time = self.strides
        return Variant(
            name=self.name, family=self.family_name, head=head, patch_size=None, frequency_stride=frequency,
            time_stride=time, max_length=self.frames, num_mel_bins=self.bins, mean=0.0, std=1.0,
        )  # fmt: skip

    def geometry(self, head: str) -> Geometry:
        return self.family.geometry(self.variant(head), self.shapes())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """By name without the prefix, in the order of the file."""
        found = json.loads((_DATA / "families.json").read_text(encoding="utf-8"))[self.name]
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in found["tensors"].items():
            count = found["blocks"] if "blocks.0." in name else 1
            shapes |= {name.replace("blocks.0.", f"blocks.{i}."): tuple(shape) for i in range(count)}
        return shapes

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors by name without the prefix, those that no forward uses left out. Shared: do not change them."""
        return _state_dict(self)

    def features(self, frames: int | None = None) -> Tensor:
        """(1, frames, bins)."""
        import torch

        shape = (1, self.frames if frames is None else frames, self.bins)
        return torch.from_numpy(np.float32(0.5) * synthetic.uniform("input_values", shape, SEED))

    def figure(self, what: str) -> np.ndarray:
        return np.load(_DATA / "families.npz")[f"{self.name}/{what}"]


@cache
def _state_dict(case: Case) -> dict[str, Tensor]:
    import torch

    tensors = {
        name: torch.from_numpy(synthetic.weight(name.removeprefix("classifier."), shape, SEED))
        for name, shape in case.shapes().items()
        if not name.startswith(("v.head", "p_input"))
    }
    if "classifier.0.weight" in tensors:  # beside an untrained head
        tensors["mlp_head.0.weight"].fill_(1)
        tensors["mlp_head.0.bias"].zero_()
    return tensors


CASES = {
    case.name: case
    for case in (
        Case("ast_tiny_ln_dropout_linear", "ast", (10, 10), 256),
        Case("ast_small_f12_t16", "ast", (12, 16), 128),
        Case("ssast_patch_finetuned", "ssast", (10, 10), 512),
        Case("ssast_patch_pretrained", "ssast", (16, 16), 1024),
        Case("ssast_frame_finetuned", "ssast_frame", (128, 1), 128),
        Case("ssast_frame_pretrained", "ssast_frame", (128, 2), 1024),
        Case("patchmix", "patchmix", (10, 10), 798),
        Case("passt_s10", "passt", (10, 10), 998),
        Case("maest_10s", "maest", (10, 10), 626, 96),
    )
}
