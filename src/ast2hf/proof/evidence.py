"""What the checks of one proof may ask for; each is computed when it is first asked for, and once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ast2hf.audio import Clip
from ast2hf.config import MULTI_LABEL, ExpectedLogits
from ast2hf.families.base import Activations
from ast2hf.formats.base import Format, Loaded, Spec
from ast2hf.proof import compare
from ast2hf.results import Block, Figures, Label


@dataclass
class Evidence:
    """The original and what it became. ``original``: the state dict, read independently of what wrote the folder.

    ``expected``: the official logits, where they are to be compared; else ``not_expected`` says why not.
    """

    spec: Spec
    format: Format
    folder: Path
    original: Mapping[str, Tensor]
    clip: Clip
    device: torch.device
    expected: ExpectedLogits | None = None
    not_expected: str | None = None

    @cached_property
    def loaded(self) -> Loaded:
        return self.format.load(self.folder, self.device)

    @cached_property
    def features(self) -> Tensor:
        """From the folder's own feature extractor, (1, frames, bins), on the CPU."""
        return self.loaded.features(self.clip.waveform, self.spec.front_end.sampling_rate)

    @cached_property
    def original_features(self) -> Tensor:
        """From the authors' front end."""
        return self.spec.front_end(self.clip.waveform)

    @cached_property
    def reference_model(self) -> Callable[[Tensor], Activations]:
        on_device = {name: self.original[name].to(self.device) for name in self.spec.plan.sources}
        return self.spec.family.reference(self.spec.geometry, on_device, self.spec.pooling)

    @cached_property
    def reference(self) -> Activations:
        """The original on the folder's features: what differs then is the model alone."""
        return self.reference_model(self.features.to(self.device))

    @cached_property
    def original_end_to_end(self) -> Activations:
        """The original on its own features."""
        if torch.equal(self.features, self.original_features):
            return self.reference
        return self.reference_model(self.original_features.to(self.device))

    @cached_property
    def converted(self) -> Activations:
        return self.loaded(self.features.to(self.device))

    @cached_property
    def blocks(self) -> list[Block]:
        """How far the two models are apart after each step, from the embeddings to the logits."""
        return [
            Block(name, (a - r).abs().max().item(), compare.relative_difference(a, r))
            for name, a, r in zip(
                _step_names(self.reference), _steps(self.converted), _steps(self.reference), strict=True
            )
        ]

    @property
    def has_outputs(self) -> bool:
        """Whether the proof came as far as the outputs of both models."""
        return "converted" in self.__dict__ and "reference" in self.__dict__

    def figures(self) -> Figures | None:
        """What can be drawn so far."""
        if "features" not in self.__dict__:
            return None
        features = self.features[0].numpy()
        if not self.has_outputs or self.reference.logits is None or self.converted.logits is None:
            return Figures(features)
        return Figures(features, self.reference.logits[0].cpu().numpy(), self.converted.logits[0].cpu().numpy())

    def best_labels(self) -> list[Label]:
        """The five best labels of the clip, original beside converted, for people to recognise."""
        reference, converted, names = self.reference.logits, self.converted.logits, self.spec.labels
        if reference is None or converted is None or names is None:
            return []

        def scores(logits: Tensor) -> Tensor:
            return logits[0].sigmoid() if self.spec.problem_type == MULTI_LABEL else logits[0].softmax(dim=0)

        before, after = scores(reference), scores(converted)
        return [Label(names[i], before[i].item(), after[i].item()) for i in compare.top(reference)]


def _steps(activations: Activations) -> list[Tensor]:
    last = [] if activations.logits is None else [activations.logits]
    return [*activations.blocks, activations.pooled, *last]


def _step_names(activations: Activations) -> list[str]:
    blocks = [f"blocks.{i}" for i in range(len(activations.blocks) - 1)]
    return ["embeddings", *blocks, "pooled", *(["logits"] if activations.logits is not None else [])]
