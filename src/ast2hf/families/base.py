"""The interface of a family of checkpoints.

A family is one original architecture. Everything known about it is in one folder beside this file; the pipeline, the
proof, the synthetic checkpoints and the benchmark receive it as a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ast2hf.config import Variant
from ast2hf.families.geometry import Geometry
from ast2hf.families.readings import Reading
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule, Table
from ast2hf.results import NO_HEAD

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Values = Callable[[str], "NDArray[Any] | None"]
"""The values of a tensor by its name, without the prefix; None if there is no such tensor."""

NO_SHAPES: Mapping[str, Sizes] = {}

CLASSIFICATION = "classification"
HEADS = (CLASSIFICATION, NO_HEAD)
"""The choices of ``model.head``: the classifier of the checkpoint, or ``none`` for the encoder alone."""

CLS = "cls"
MEAN = "mean"
POOLINGS = (CLS, MEAN)
"""How a model pools its tokens into one vector, the input of its head: the mean of its two class tokens, as in Hugging
Face's AST, or the mean of its patches. Nothing in the tensors says which."""

AVERAGES_PATCHES = "the model averages the patches, but Hugging Face's AST averages its two class tokens"
"""Why a classifier with the pooling ``mean`` cannot be written."""

ENCODER = "audio_spectrogram_transformer."
"""The prefix of the encoder's names in a folder with a classifier; a folder with the encoder alone has no prefix."""


@dataclass(frozen=True)
class Activations:
    """The intermediate results of a forward. The ``n`` tokens: class, distillation, patches (frequency-major).

    ``blocks``: the embeddings and the output of each block, each of shape (batch, n, hidden).
    ``last_hidden_state``: after the last norm, of the same shape. ``pooled``: the input of the head, (batch,
    hidden): the mean of the class and distillation tokens, or of the patches. ``logits``: (batch, labels); None if
    there is no head.
    """

    blocks: tuple[Tensor, ...]
    last_hidden_state: Tensor
    pooled: Tensor
    logits: Tensor | None


class FrontEnd(Protocol):
    """From waveform to features, as the authors compute them. ``sampling_rate`` in Hz, ``max_length`` in frames."""

    @property
    def sampling_rate(self) -> int: ...
    @property
    def max_length(self) -> int: ...

    def __call__(self, waveform: Tensor) -> Tensor:
        """(1, frames, bins) of ``waveform``, float32 of shape (samples,) in [-1, 1]."""

    def as_dict(self) -> Mapping[str, int | float | str]: ...


class Family(Protocol):
    """One original architecture. ``name`` as in ``model.family``, ``title`` as people write it.

    ``anchors``: names of tensors; every checkpoint of the family has the first one, and whatever precedes it in a file
    is the prefix. ``classifier``: the name of the head's module. ``poolings``: the poolings such a model may use, the
    likeliest first. ``expressible``: whether ASTFeatureExtractor can compute the features it was trained on.
    ``num_mel_bins``: the same for all its models, or None if they differ. ``lengths``: input lengths in its authors'
    recipes, in frames, the likeliest first. ``citation``: of its paper, as BibTeX. ``remark``: what the users of every
    folder should know, or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def anchors(self) -> tuple[str, ...]: ...
    @property
    def classifier(self) -> str: ...
    @property
    def poolings(self) -> tuple[str, ...]: ...
    @property
    def expressible(self) -> bool: ...
    @property
    def num_mel_bins(self) -> int | None: ...
    @property
    def lengths(self) -> tuple[int, ...]: ...
    @property
    def citation(self) -> str: ...
    @property
    def remark(self) -> str | None: ...

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        """Whether tensors of these names (prefix removed) and shapes can belong to this family. Others may fit, too."""

    def heads(
        self, pooling: str, shapes: Mapping[str, Sizes], head_norm: str | None = None
    ) -> Mapping[str, str | None]:
        """For each of HEADS, None if Hugging Face's AST can express it for tensors of ``shapes``, else why not.

        ``head_norm``: the setting for its layer norm, one of :data:`ast2hf.families.heads.NORMS`, or None.
        """

    def readings(self, variant: Variant, shapes: Mapping[str, Sizes]) -> tuple[Reading, ...]:
        """All strides and lengths that give the number of patches in ``shapes``, for the mel bins of ``variant``.

        Raises InputError if a tensor needed to count the patches is missing.
        """

    def stored(self, values: Values) -> Mapping[str, int]:
        """The sizes of the variant that the file itself records, by name. ``values``: of a tensor by its name."""

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        """The sizes set in ``variant``; those left unset are read from the ``shapes`` of the tensors.

        In the terms of Hugging Face's AST. Strides and length must be set. Raises InputError if a tensor needed to
        read a size is missing, ConfigurationError if sizes disagree or one cannot be read.
        """

    def table(
        self, head: str, shapes: Mapping[str, Sizes] = NO_SHAPES, exact_epsilon: bool = False,
        head_norm: str | None = None,
    ) -> Table:  # fmt: skip
        """The mapping from the tensors of the checkpoint to the names that transformers reads on disk.

        ``shapes``: of the checkpoint; they decide where its head is and what is dropped. Without them, the layout is
        that of the authors' own files. ``exact_epsilon``: see :mod:`ast2hf.families.exact`. ``head_norm``: as in
        :meth:`heads`. Raises InputError if the head cannot be expressed, ConfigurationError if it contradicts
        ``head_norm``.
        """

    def front_end(self, variant: Variant) -> FrontEnd: ...

    def reference(
        self, geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str = CLS, head_norm: str | None = None
    ) -> Callable[[Tensor], Activations]:
        """The original forward, from features (batch, frames, bins), on the device of the tensors.

        With a head if ``geometry`` has labels, whether or not Hugging Face's AST can express it. ``head_norm``: as in
        :meth:`heads`.
        """


def encoder_only(table: Table, reason: str) -> Table:
    """``table`` for a folder without a head: the tensors of the head are dropped, for ``reason``."""
    rules: list[Rule | Drop] = []
    for rule in table:
        if isinstance(rule, Drop):
            rules.append(rule)
        elif all(target.startswith(ENCODER) for target in rule.targets):
            targets = tuple(target.removeprefix(ENCODER) for target in rule.targets)
            rules.append(Rule(rule.sources, targets, rule.op, rule.shapes))
        else:
            rules += [Drop(name, reason, shape) for name, shape in zip(rule.sources, rule.shapes, strict=True)]
    return tuple(rules)
