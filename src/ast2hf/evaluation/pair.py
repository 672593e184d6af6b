"""The two models of a data set's proof: the original and the folder, each with its own front end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.config import Data
from ast2hf.evaluation.hearing import FrontEnds
from ast2hf.evaluation.source import Source
from ast2hf.formats.base import Loaded, Spec
from ast2hf.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ORIGINAL, CONVERTED, WITH_ORIGINAL_EPSILON = "original", "converted", "converted_with_original_epsilon"
"""What computes logits: both models, and the folder with the original's layer_norm_eps if its own differs."""

Model = Callable[["Tensor"], "Tensor"]
"""From features (batch, frames, bins) to logits (batch, labels)."""


@dataclass(frozen=True)
class DataSet:
    """The data set of a proof. ``cache``: the folder for its parts, shared with other data sets.

    ``key``: a hash of everything that the logits depend on. ``progress`` shows the progress.
    """

    source: Source
    settings: Data
    cache: Path
    key: str
    progress: Progress


@dataclass(frozen=True)
class Pair:
    """Original and folder, ready to compute in the dtype of the data set's settings."""

    spec: Spec
    original: Model
    loaded: Loaded
    front_ends: FrontEnds
    device: torch.device

    def models(self) -> dict[str, Model]:
        """What computes logits, by name."""
        found: dict[str, Model] = {ORIGINAL: self.original, CONVERTED: self.loaded.logits}
        if self.loaded.layer_norm_eps != self.spec.layer_norm_eps:
            found[WITH_ORIGINAL_EPSILON] = self._with_original_epsilon
        return found

    def _with_original_epsilon(self, features: Tensor) -> Tensor:
        with self.loaded.with_epsilon(self.spec.layer_norm_eps):
            return self.loaded.logits(features)
