"""What the checks of one proof need; each piece is computed once, when it is first needed or ahead of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ast2hf.audio import Clip
from ast2hf.checkpoint import synthetic
from ast2hf.config import MULTI_LABEL, ExpectedLogits
from ast2hf.evaluation.evaluate import Outcome, evaluate
from ast2hf.evaluation.gates import FULL
from ast2hf.evaluation.hearing import FrontEnds
from ast2hf.evaluation.pair import DataSet, Pair
from ast2hf.families.base import MEAN, Activations
from ast2hf.formats.base import Format, Loaded, Spec
from ast2hf.proof import compare
from ast2hf.results import Block, Figures, Label

FEATURES_SEED = 0
"""Of the synthetic features that both models get if the folder has no extractor."""


@dataclass
class Evidence:
    """The original and the folder made from it. ``original``: the state dict, read independently.

    ``clip``: None if the folder has no feature extractor for it; both models then get synthetic features.
    ``not_heard`` says why. ``expected``: the official logits, if they should be compared; otherwise
    ``not_expected`` says why not. ``restored``: the original was made from the folder, not vice versa.
    ``every_attention``: prove the folder with each implementation of attention, as ``verify.attention``.
    ``data_set``: None if none was chosen.
    """

    spec: Spec
    format: Format
    folder: Path
    original: Mapping[str, Tensor]
    clip: Clip | None
    device: torch.device
    expected: ExpectedLogits | None = None
    not_expected: str | None = None
    not_heard: str = "transformers has no feature extractor for these features"
    restored: bool = False
    every_attention: bool = False
    data_set: DataSet | None = None
    _ahead: dict[str, Future[Activations]] = field(default_factory=dict, repr=False)

    @contextmanager
    def ahead(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that computes ``original_end_to_end`` or ``reference`` in a background thread.

        Imports use one core, and the original's forward passes need none of the imported modules. An error in the
        thread is raised again for the check that needs the result.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="original") as executor:

            def begin(name: str) -> None:
                features = self.features if name == "reference" else self.original_features
                if name != "reference" or not self._same_features or "original_end_to_end" not in self._ahead:
                    self._ahead[name] = executor.submit(self._original, features)

            try:
                yield begin
            finally:
                executor.shutdown(cancel_futures=True)

    @cached_property
    def loaded(self) -> Loaded:
        return self.format.load(self.folder, self.device)

    @cached_property
    def features(self) -> Tensor:
        """From the folder's own feature extractor, or synthetic; (1, frames, bins), on the CPU."""
        if self.clip is None:
            return torch.from_numpy(synthetic.spectrogram(self.spec.geometry, FEATURES_SEED))
        return self.format.features(self.folder, self.clip.waveform, self.spec.front_end.sampling_rate)

    @cached_property
    def original_features(self) -> Tensor:
        """From the authors' front end; synthetic ones are the same for both."""
        return self.features if self.clip is None else self.spec.front_end(self.clip.waveform)

    @cached_property
    def reference_model(self) -> Callable[[Tensor], Activations]:
        return self._reference_in(torch.float32)

    def _reference_in(self, dtype: torch.dtype) -> Callable[[Tensor], Activations]:
        spec = self.spec
        tensors = {name: self.original[name] for name in spec.plan.sources}
        if spec.resizing is not None:
            tensors = spec.resizing.state_dict(tensors)
        on_device = {name: tensor.to(self.device, dtype) for name, tensor in tensors.items()}
        return spec.family.reference(spec.geometry, on_device, spec.pooling, spec.head_norm)

    @cached_property
    def reference(self) -> Activations:
        """The original on the folder's features, so that only the models can differ."""
        if "reference" in self._ahead:
            return self._ahead["reference"].result()
        return self.original_end_to_end if self._same_features else self._original(self.features)

    @cached_property
    def original_end_to_end(self) -> Activations:
        """The original on its own features."""
        if "original_end_to_end" in self._ahead:
            return self._ahead["original_end_to_end"].result()
        return self._original(self.original_features)

    @property
    def _same_features(self) -> bool:
        return torch.equal(self.features, self.original_features)

    def _original(self, features: Tensor) -> Activations:
        with torch.inference_mode():  # a thread does not inherit it
            return self.reference_model(features.to(self.device))

    @cached_property
    def converted(self) -> Activations:
        return self.loaded(self.features.to(self.device))

    @cached_property
    def blocks(self) -> list[Block]:
        """How far the two models are apart after each step, from the embeddings to the logits.

        With an exact epsilon the folder's residual stream is a multiple of the original's.
        """
        scale = self.spec.residual_scale
        converted = replace(self.converted, blocks=tuple(block / scale for block in self.converted.blocks))
        return [
            Block(name, (a - r).abs().max().item(), compare.relative_difference(a, r))
            for (name, a), (_, r) in zip(self._steps(converted), self._steps(self.reference), strict=True)
        ]

    def _steps(self, activations: Activations) -> Iterator[tuple[str, Tensor]]:
        yield "embeddings", activations.blocks[0]
        for number, block in enumerate(activations.blocks[1:]):
            yield f"blocks.{number}", block
        if self.spec.pooling == MEAN:
            yield "last_hidden_state", activations.last_hidden_state  # the folder pools differently
        else:
            yield "pooled", activations.pooled
        if activations.logits is not None:
            yield "logits", activations.logits

    @cached_property
    def evaluation(self) -> Outcome:
        """The outcome of the data set. Raises the errors of :func:`ast2hf.evaluation.evaluate.evaluate`."""
        assert self.data_set is not None
        dtype = self.data_set.settings.dtype
        reference, loaded = self.reference_model, self.loaded
        if dtype != FULL:
            reference = self._reference_in(getattr(torch, dtype))
            loaded = self.format.load(self.folder, self.device, dtype)

        def original(features: Tensor) -> Tensor:
            logits = reference(features).logits
            assert logits is not None
            return logits

        front_ends = FrontEnds(self.spec.front_end, self.format, self.folder)
        return evaluate(self.data_set, Pair(self.spec, original, loaded, front_ends, self.device))

    @property
    def evaluated(self) -> Outcome | None:
        """:attr:`evaluation`, if the proof got that far."""
        return self.__dict__.get("evaluation")

    @property
    def has_outputs(self) -> bool:
        """Whether the proof got as far as the outputs of both models."""
        return "converted" in self.__dict__ and "reference" in self.__dict__

    def figures(self) -> Figures | None:
        """What can be drawn so far."""
        if "features" not in self.__dict__:
            return None
        features, worst = self.features[0].numpy(), self.evaluated.worst if self.evaluated else ()
        if not self.has_outputs or self.reference.logits is None or self.converted.logits is None:
            return Figures(features, worst=worst)
        return Figures(
            features, self.reference.logits[0].cpu().numpy(), self.converted.logits[0].cpu().numpy(), worst
        )  # fmt: skip

    def best_labels(self) -> list[Label]:
        """The five best labels of the clip, with the scores of both models, for people to recognise."""
        reference, converted, names = self.reference.logits, self.converted.logits, self.spec.labels
        if reference is None or converted is None or names is None or self.clip is None:
            return []

        def scores(logits: Tensor) -> Tensor:
            return logits[0].sigmoid() if self.spec.problem_type == MULTI_LABEL else logits[0].softmax(dim=0)

        before, after = scores(reference), scores(converted)
        return [Label(names[i], before[i].item(), after[i].item()) for i in compare.top(reference)]
