"""What a family of checkpoints is to the rest of the package.

A family is one original architecture. Everything that is known of it lies in one folder beside this file; the pipeline,
the proof, the synthetic checkpoints and the bench get it as a value.
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
"""The values of a tensor by its name, without the prefix; None where there is none."""

NO_SHAPES: Mapping[str, Sizes] = {}

CLASSIFICATION = "classification"
HEADS = (CLASSIFICATION, NO_HEAD)
"""What ``model.head`` may be: the classifier of the checkpoint, or none: the encoder alone."""

CLS = "cls"
MEAN = "mean"
POOLINGS = (CLS, MEAN)
"""How a model makes one vector of its tokens, the input of its head: the mean of its two class tokens, as that of
Hugging Face does, or the mean of its patches. Nothing in the tensors says which."""

AVERAGES_PATCHES = "the model averages the patches; Hugging Face's AST averages its two class tokens"
"""Why a classifier of the pooling ``mean`` cannot be written."""

ENCODER = "audio_spectrogram_transformer."
"""What stands before the encoder's names in a folder with a classifier; an encoder alone has the names without it."""


@dataclass(frozen=True)
class Activations:
    """What a model computes on its way. ``n`` tokens: class, distillation, patches (rows of frequency, then time).

    ``blocks``: the embeddings and the output of each block, each of shape (batch, n, hidden).
    ``last_hidden_state``: after the last norm, of the same shape. ``pooled``: the input of the head, (batch,
    hidden): the mean of its class and distillation token, or of its patches. ``logits``: (batch, labels); None where
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

    ``anchors``: names of tensors, the first of which each of its checkpoints has; what stands before it in a file is
    the prefix. ``classifier``: the name of the module that is its head. ``poolings``: what such a model may do with its
    tokens, the likeliest first. ``expressible``: whether ASTFeatureExtractor computes the features that it was trained
    on. ``num_mel_bins``: of all its models; None where they differ. ``lengths``: of the inputs in its authors' recipes,
    in frames, the likeliest first. ``citation``: of its paper, as BibTeX.
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

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        """Whether tensors of these names (prefix taken off) and shapes can be of this family. Others may fit, too."""

    def heads(
        self, pooling: str, shapes: Mapping[str, Sizes], head_norm: str | None = None
    ) -> Mapping[str, str | None]:
        """For each of HEADS, None where Hugging Face's AST can express it for tensors of ``shapes``, else why not.

        ``head_norm``: what was said of its layer norm, one of :data:`ast2hf.families.heads.NORMS`, or None.
        """

    def readings(self, variant: Variant, shapes: Mapping[str, Sizes]) -> tuple[Reading, ...]:
        """All strides and lengths that give as many patches as ``shapes`` show, for the mel bins of ``variant``.

        Raises InputError where a tensor that shows the number of patches is missing.
        """

    def stored(self, values: Values) -> Mapping[str, int]:
        """The sizes of the variant that a file says itself, by name. ``values``: of a tensor by its name."""

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        """The sizes that ``variant`` gives; those that it leaves open are read from the tensors' ``shapes``.

        In the terms of Hugging Face's AST. Strides and length must be given. Raises InputError where a tensor that
        would show a size is missing, ConfigurationError where sizes disagree or one is not given.
        """

    def table(
        self, head: str, shapes: Mapping[str, Sizes] = NO_SHAPES, exact_epsilon: bool = False,
        head_norm: str | None = None,
    ) -> Table:  # fmt: skip
        """Which tensor becomes which, in the names that transformers reads on disk.

        ``shapes``: of the checkpoint, which decide where its head lies and what is dropped; without them, the layout
        of the authors' own files. ``exact_epsilon``: see :mod:`ast2hf.families.exact`. ``head_norm``: as
        of :meth:`heads`. Raises InputError where the head cannot be expressed, ConfigurationError where it is not what
        was said.
        """

    def front_end(self, variant: Variant) -> FrontEnd: ...

    def reference(
        self, geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str = CLS, head_norm: str | None = None
    ) -> Callable[[Tensor], Activations]:
        """The original forward, from features (batch, frames, bins), on the device of the tensors.

        With a head where ``geometry`` has labels, whether or not Hugging Face's AST can express it. ``head_norm``: as
        of :meth:`heads`.
        """


def encoder_only(table: Table, reason: str) -> Table:
    """``table`` for a folder without a head: what belongs to the head is dropped, for ``reason``."""
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
