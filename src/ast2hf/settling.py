"""Settle what the family alone does not determine: strides, length, normalisation, loss. Read, set, or asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ast2hf import normalisation, period, strides
from ast2hf.config import Variant
from ast2hf.errors import CHOOSE, Choice, Question
from ast2hf.families.ast.table import POSITIONS
from ast2hf.families.base import CLASSIFICATION, Family, Values
from ast2hf.families.geometry import CLASS_TOKENS
from ast2hf.families.readings import Reading
from ast2hf.mapping.ops import Sizes

MEL_BINS = 128
"""Mel bins of the features in every recipe of AST and SSAST."""


@dataclass(frozen=True)
class Settled:
    """``variant``, filled in as far as possible.

    ``strides``: the question about strides and length, if they are ambiguous. ``unsaid``: questions that no file can
    answer and that the user has not answered. ``readings``: all that fit the user's settings.
    """

    variant: Variant
    strides: Question | None
    unsaid: tuple[Question, ...]
    readings: tuple[Reading, ...]
    notes: tuple[str, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        return (*filter(None, [self.strides]), *self.unsaid)


def settle(
    variant: Variant, family: Family, shapes: Mapping[str, Sizes],
    values: Values = lambda name: None,
) -> Settled:  # fmt: skip
    """``variant`` with its strides, length and mel bins filled in for tensors of ``shapes`` (prefix removed).

    ``values``: of a tensor by its name. Raises InputError if the user's settings contradict the tensors.
    """
    notes: list[str] = []
    stored = family.stored(values)
    if variant.num_mel_bins is None:
        known = stored.get("num_mel_bins") or family.num_mel_bins
        variant = replace(variant, num_mel_bins=known or MEL_BINS)
        if known is None:
            notes.append(f"{MEL_BINS} mel bins, as in the family's recipes: set model.num_mel_bins if yours differ")
    if variant.max_length is None and "max_length" in stored:
        variant = replace(variant, max_length=stored["max_length"])
        notes.append(f"max_length {variant.max_length}: read from the file")
    lengths = family.lengths
    every = family.readings(variant, shapes)
    said = (variant.frequency_stride, variant.time_stride, variant.max_length)
    fits = tuple(sorted((r for r in every if r.has(*said)), key=lambda r: strides.rank(r, lengths)))
    shown = _shown_columns(fits, values)
    if shown is not None:
        notes.append(f"the position embeddings repeat every {shown} patches, as in a grid of {shown} columns")
        fits = tuple(sorted(fits, key=lambda reading: reading.columns != shown))
    if not fits:
        raise strides.contradiction(variant, every, shapes)
    chosen = strides.only(fits, variant, lengths)
    open_ = strides.question(fits, variant, lengths, shown) if chosen is None else None
    if chosen is not None:
        variant, note = _filled(variant, chosen, lengths, len(fits))
        notes += note
    unsaid = []
    if family.expressible:
        if variant.mean is None or variant.std is None:
            unsaid.append(_STATS_QUESTION)
        else:
            notes += normalisation.remarks(variant.mean, variant.std)
    if variant.head == CLASSIFICATION and variant.problem_type is None:
        unsaid.append(_LOSS_QUESTION)
    return Settled(variant, open_, tuple(unsaid), fits, tuple(notes))


def _shown_columns(fits: Sequence[Reading], values: Values) -> int | None:
    """The number of columns that the position embeddings suggest, if several fit; else None."""
    choices = {reading.columns for reading in fits}
    positions = values(POSITIONS) if len(choices) > 1 else None
    if positions is None or positions.ndim != 3 or len(positions) != 1:
        return None
    return period.columns(positions[0, CLASS_TOKENS:], choices)


def _filled(variant: Variant, reading: Reading, lengths: Sequence[int], count: int) -> tuple[Variant, list[str]]:
    notes = []
    if variant.frequency_stride is None or variant.time_stride is None:
        other = "; other strides also give it: set model.frequency_stride and model.time_stride if yours differ"
        notes.append(f"read from the number of patches: {reading}" + (other if count > 1 else ""))
    length = variant.max_length
    if length is None:
        length = strides.canonical(reading, lengths)
        if reading.cut:
            notes.append(f"max_length {length}: a shorter input uses the first positions in time")
        elif reading.shortest != reading.longest:
            notes.append(
                f"max_length {length}: any length from {reading.shortest} to {reading.longest} gives the same function"
            )
    filled = replace(
        variant, frequency_stride=reading.frequency_stride, time_stride=reading.time_stride, max_length=length
    )
    return filled, notes


_STATS_QUESTION = Question(
    "the file does not say how the training features were normalised (mean and std)",
    (
        *(
            Choice(f"stats={name}", f"mean {mean}, std {std}, the authors' figures for {name}")
            for name, (mean, std) in normalisation.STATS.items()
        ),
        Choice("model.mean=MEAN model.std=STD", "dataset_mean and dataset_std of your training (std, not twice it)"),
    ),
    f"stats={CHOOSE}",
)

_LOSS_QUESTION = Question(
    "the file does not say which loss the model was trained with",
    (
        Choice("loss=bce", "several classes may be true at once: scores are sigmoids"),
        Choice("loss=ce", "exactly one class is true: scores are a softmax"),
    ),
    f"loss={CHOOSE}",
)
