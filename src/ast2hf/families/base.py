"""What a family of checkpoints is to the rest of the package.

A family is one original architecture. Everything that is known of it lies in one folder beside this file; the pipeline,
the proof, the synthetic checkpoints and the bench get it as a value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ast2hf.config import Variant
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule, Table
from ast2hf.results import NO_HEAD

if TYPE_CHECKING:
    from torch import Tensor

CLASSIFICATION = "classification"
HEADS = (CLASSIFICATION, NO_HEAD)
"""What ``model.head`` may be: the classifier of the checkpoint, or none: the encoder alone."""

ENCODER = "audio_spectrogram_transformer."
"""What stands before the encoder's names in a folder with a classifier; an encoder alone has the names without it."""


@dataclass(frozen=True)
class Activations:
    """What a model computes on its way. ``n`` tokens: class, distillation, patches (rows of frequency, then time).

    ``blocks``: the embeddings and the output of each block, each of shape (batch, n, hidden).
    ``last_hidden_state``: after the last norm, of the same shape. ``pooled``: mean of its class and distillation
    token, (batch, hidden). ``logits``: (batch, labels); None where there is no head.
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

    def as_dict(self) -> dict[str, int | float]: ...


class Family(Protocol):
    """One original architecture. ``name`` as in ``model.family``, ``title`` as people write it."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...

    def recognises(self, names: Collection[str]) -> bool:
        """Whether tensors of these ``names`` are of this family."""

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        """The sizes that ``variant`` gives; those that it leaves open are read from the tensors' ``shapes``.

        Raises InputError where a tensor that would show a size is missing, ConfigurationError where sizes disagree.
        """

    def table(self, head: str) -> Table:
        """Which tensor becomes which, in the names that transformers reads on disk."""

    def front_end(self, variant: Variant) -> FrontEnd: ...

    def reference(self, geometry: Geometry, state_dict: Mapping[str, Tensor]) -> Callable[[Tensor], Activations]:
        """The original forward, from features (batch, frames, bins), on the device of the tensors."""


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
