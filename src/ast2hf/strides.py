"""Choose among the readings of a number of patches: the only one left, or a question between several.

The user's settings come first (a length fixes the time stride). Without any, a reading is accepted only if it is the
single one with equal strides and matches a length in the authors' recipes. Everything else is a question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ast2hf.config import Variant
from ast2hf.errors import CHOOSE, Choice, InputError, Question
from ast2hf.families.readings import Reading
from ast2hf.mapping.ops import Sizes

_EVIDENCE = (
    "equal strides and a length from the authors' recipes", "equal strides", "a length from the authors' recipes", "",
)  # fmt: skip
"""The evidence for a reading, by its rank."""


def only(fits: Sequence[Reading], variant: Variant, lengths: Sequence[int]) -> Reading | None:
    """The reading to use, or None if the choice is the user's."""
    if len(fits) == 1:
        return fits[0]
    equal = [reading for reading in fits if _usual(reading)]
    if len(equal) != 1:
        return None
    if variant.max_length is not None or variant.time_stride is not None:
        return equal[0]
    return equal[0] if any(map(equal[0].spans, lengths)) else None


def _usual(reading: Reading) -> bool:
    """Whether the strides are equal, as in all published models; a single row of patches has no frequency stride."""
    return reading.rows == 1 or reading.frequency_stride == reading.time_stride


def canonical(reading: Reading, lengths: Sequence[int]) -> int:
    """The length to write if none is set: one from a recipe, else the roundest number, else the shortest."""
    inside = range(reading.shortest, reading.longest + 1)
    for length in lengths:
        if length in inside:
            return length
    for step in (100, 10):
        if (round_ := reading.longest // step * step) in inside:
            return round_
    return reading.shortest


def question(fits: Sequence[Reading], variant: Variant, lengths: Sequence[int], shown: int | None) -> Question:
    """The question which of ``fits`` it is. ``shown``: the number of columns that the position embeddings suggest."""

    def evidence(reading: Reading) -> str:
        period_ = "the position embeddings" if reading.columns == shown else ""
        return " and ".join(filter(None, (period_, _EVIDENCE[rank(reading, lengths)])))

    patches = fits[0].rows * fits[0].columns
    return Question(
        f"strides and length are ambiguous: {len(fits)} combinations give {patches} patches "
        "(model.max_length, the audio_length of the training, narrows them down most)",
        tuple(Choice(_override(reading, variant, lengths), str(reading), evidence(reading)) for reading in fits),
        " ".join(f"{part.partition('=')[0]}={CHOOSE}" for part in _override(fits[0], variant, lengths).split()),
    )


def rank(reading: Reading, lengths: Sequence[int]) -> int:
    """The index into _EVIDENCE for ``reading``."""
    of_recipe = any(map(reading.spans, lengths))
    return 3 - 2 * _usual(reading) - of_recipe


def _override(reading: Reading, variant: Variant, lengths: Sequence[int]) -> str:
    parts = []
    if variant.frequency_stride is None:
        parts.append(f"model.frequency_stride={reading.frequency_stride}")
    if variant.time_stride is None:
        parts.append(f"model.time_stride={reading.time_stride}")
    if variant.max_length is None:
        parts.append(f"model.max_length={canonical(reading, lengths)}")
    return " ".join(parts)


def contradiction(variant: Variant, every: Sequence[Reading], shapes: Mapping[str, Sizes]) -> InputError:
    said = {
        "model.frequency_stride": variant.frequency_stride,
        "model.time_stride": variant.time_stride,
        "model.max_length": variant.max_length,
        "model.num_mel_bins": variant.num_mel_bins,
    }
    shown = ", ".join(f"{key}={value}" for key, value in said.items() if value is not None)
    usual = [str(reading) for reading in every if _usual(reading)] or [str(reading) for reading in every]
    positions = next((s[1] for name, s in shapes.items() if name.endswith("pos_embed") and len(s) == 3), None)
    count = "position embeddings" if positions is None else f"{positions} position embeddings"
    fit = f"which fit {', or '.join(usual[:3])}" if usual else "which no strides give for such an input"
    if any(reading.cut for reading in every):  # one for each row, and one for each column
        count, fit = "position embeddings in frequency and time", f"{fit}, or a shorter input"
    return InputError(
        f"the settings ({variant.name}) are {shown}, but the checkpoint has {count}, {fit}",
        "choose the model that the checkpoint was trained as (model=…, or model=custom), or correct "
        "model.frequency_stride, model.time_stride, model.max_length, model.num_mel_bins",
    )
