"""What is left open of a model once its family is known: strides, length, normalisation, loss. Read, said, or asked.

A count of patches has many readings: f x t patches are made by any strides of which f rows and t columns come. So what
was said comes first (a length fixes the stride of time). Where nothing was said, only a count that can be read in one
way with equal strides and a length of the authors' recipes is taken as read. All else is a question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ast2hf import period
from ast2hf.config import Variant
from ast2hf.errors import CHOOSE, Choice, InputError, Question
from ast2hf.families import sizes
from ast2hf.families.base import CLASSIFICATION, Family
from ast2hf.families.readings import Reading, of_grid
from ast2hf.mapping.ops import Sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEL_BINS = 128
"""Of the features in every recipe of AST and SSAST."""

LENGTHS = (1024, 512, 128, 798)
"""Of the inputs in the authors' recipes: AudioSet, ESC-50, Speech Commands; ICBHI (Patch-Mix). In frames."""

_SHOWN = 24
"""Readings that a question lists."""

STATS = {
    "audioset": (-4.2677393, 4.5689974),
    "esc50": (-6.6268077, 5.358466),
    "speech_commands": (-6.845978, 5.5654526),
}
"""Mean and standard deviation of the choices of ``stats=``; the files are in conf/stats."""


@dataclass(frozen=True)
class Settled:
    """``variant`` as far as it could be filled in.

    ``strides``: the question of strides and length, where they are open. ``unsaid``: what no file says, and nobody
    said. ``readings``: all that fit what was said.
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
    values: Callable[[str], NDArray[Any] | None] = lambda name: None,
) -> Settled:  # fmt: skip
    """``variant`` with its strides, length and mel bins filled in for tensors of ``shapes`` (prefix taken off).

    ``values``: of a tensor by its name. Raises InputError where what was said is not what the tensors show.
    """
    notes: list[str] = []
    stored: Mapping[str, int] = _hook(family, "stored", lambda values: {})(values)
    if variant.num_mel_bins is None:
        own: int | None = _hook(family, "num_mel_bins", None)
        known = stored.get("num_mel_bins") or own
        variant = replace(variant, num_mel_bins=known or MEL_BINS)
        if known is None:
            notes.append(f"{MEL_BINS} mel bins, as in the family's recipes: say model.num_mel_bins if yours differ")
    if variant.max_length is None and "max_length" in stored:
        variant = replace(variant, max_length=stored["max_length"])
        notes.append(f"{variant.max_length} frames: the file says so")
    lengths: Sequence[int] = _hook(family, "lengths", LENGTHS)
    every = _readings(variant, family, shapes)
    said = (variant.frequency_stride, variant.time_stride, variant.max_length)
    fits = tuple(sorted((r for r in every if r.has(*said)), key=lambda r: _rank(r, lengths)))
    shown = _shown_columns(fits, values)
    if shown is not None:
        notes.append(f"the position embeddings are alike every {shown} patches, as in a grid of {shown} columns")
        fits = tuple(sorted(fits, key=lambda reading: reading.columns != shown))
    if not fits:
        raise _contradiction(variant, every, shapes)
    chosen = _only(fits, variant, lengths)
    strides = _strides(fits, variant, lengths, shown) if chosen is None else None
    if chosen is not None:
        variant, note = _filled(variant, chosen, lengths, len(fits))
        notes += note
    unsaid = []
    if family.expressible and (variant.mean is None or variant.std is None):
        unsaid.append(_STATS_QUESTION)
    if variant.head == CLASSIFICATION and variant.problem_type is None:
        unsaid.append(_LOSS_QUESTION)
    return Settled(variant, strides, tuple(unsaid), fits, tuple(notes))


def _hook(family: Family, name: str, default: Any) -> Any:
    """What ``family`` has to say beyond what every family must."""
    return getattr(family, name, default)


def _readings(variant: Variant, family: Family, shapes: Mapping[str, Sizes]) -> tuple[Reading, ...]:
    own = _hook(family, "readings", None)
    if own is not None:
        return tuple(own(variant, shapes))
    prefix = family.anchors[0].rpartition(".")[0]
    prefix = prefix + "." if prefix else ""
    positions = sizes.size(prefix + "pos_embed", 1, shapes)
    assert variant.num_mel_bins is not None
    said = (variant.frequency_stride, variant.time_stride)
    return tuple(of_grid(positions - 2, sizes.kernel(prefix, shapes), variant.num_mel_bins, said))


def _only(fits: Sequence[Reading], variant: Variant, lengths: Sequence[int]) -> Reading | None:
    """The one reading that is left, if there is one."""
    if len(fits) == 1:
        return fits[0]
    equal = [reading for reading in fits if _usual(reading)]
    if len(equal) != 1:
        return None
    if variant.max_length is not None or variant.time_stride is not None:
        return equal[0]
    return equal[0] if any(map(equal[0].spans, lengths)) else None


def _usual(reading: Reading) -> bool:
    """Whether the strides are equal, as in all published models; one row of patches has no stride of frequency."""
    return reading.rows == 1 or reading.frequency_stride == reading.time_stride


def _filled(
    variant: Variant, reading: Reading, lengths: Sequence[int], count: int
) -> tuple[Variant, list[str]]:  # fmt: skip
    notes = []
    if variant.frequency_stride is None or variant.time_stride is None:
        other = "; other strides have as many patches: say model.frequency_stride and model.time_stride if yours differ"
        notes.append(f"read from the count of patches: {reading}" + (other if count > 1 else ""))
    length = variant.max_length
    if length is None:
        length = canonical(reading, lengths)
        if reading.cut:
            notes.append(f"max_length {length}: a shorter one takes the first positions in time")
        elif reading.shortest != reading.longest:
            notes.append(
                f"max_length {length}: every length from {reading.shortest} to {reading.longest} is the same function"
            )
    filled = replace(
        variant, frequency_stride=reading.frequency_stride, time_stride=reading.time_stride, max_length=length
    )
    return filled, notes


def canonical(reading: Reading, lengths: Sequence[int] = LENGTHS) -> int:
    """The length that is written where none was said: that of a recipe, else the roundest, else the shortest."""
    inside = range(reading.shortest, reading.longest + 1)
    for length in lengths:
        if length in inside:
            return length
    for step in (100, 10):
        if (round_ := reading.longest // step * step) in inside:
            return round_
    return reading.shortest


def _shown_columns(fits: Sequence[Reading], values: Callable[[str], NDArray[Any] | None]) -> int | None:
    """The number of columns that the position embeddings speak for, where several fit."""
    choices = {reading.columns for reading in fits}
    positions = values("v.pos_embed") if len(choices) > 1 else None
    return None if positions is None or positions.ndim != 3 else period.columns(positions[0, 2:], choices)


def _strides(
    fits: Sequence[Reading], variant: Variant, lengths: Sequence[int], shown: int | None
) -> Question:  # fmt: skip
    """Which of ``fits`` it is. ``shown``: the columns that the position embeddings speak for."""

    def evidence(reading: Reading) -> str:
        period_ = "the position embeddings" if reading.columns == shown else ""
        return " and ".join(filter(None, (period_, _EVIDENCE[_rank(reading, lengths)])))

    left = f"; {len(fits) - _SHOWN} more readings" if len(fits) > _SHOWN else ""
    patches = fits[0].rows * fits[0].columns
    return Question(
        f"strides and length are open: {patches} patches have {len(fits)} readings "
        f"(model.max_length, the audio_length of the training, leaves the fewest{left})",
        tuple(
            Choice(_override(reading, variant, lengths), str(reading), evidence(reading)) for reading in fits[:_SHOWN]
        ),
        " ".join(f"{part.partition('=')[0]}={CHOOSE}" for part in _override(fits[0], variant, lengths).split()),
    )


def _rank(reading: Reading, lengths: Sequence[int]) -> int:
    """What speaks for ``reading``, as the place in _EVIDENCE."""
    of_recipe = any(map(reading.spans, lengths))
    return 3 - 2 * _usual(reading) - of_recipe


_EVIDENCE = ("equal strides and a length of the recipes", "equal strides", "a length of the recipes", "")


def _override(reading: Reading, variant: Variant, lengths: Sequence[int]) -> str:
    parts = []
    if variant.frequency_stride is None:
        parts.append(f"model.frequency_stride={reading.frequency_stride}")
    if variant.time_stride is None:
        parts.append(f"model.time_stride={reading.time_stride}")
    if variant.max_length is None:
        parts.append(f"model.max_length={canonical(reading, lengths)}")
    return " ".join(parts)


def _contradiction(variant: Variant, every: Sequence[Reading], shapes: Mapping[str, Sizes]) -> InputError:
    said = {
        "model.frequency_stride": variant.frequency_stride,
        "model.time_stride": variant.time_stride,
        "model.max_length": variant.max_length,
        "model.num_mel_bins": variant.num_mel_bins,
    }
    shown = ", ".join(f"{key}={value}" for key, value in said.items() if value is not None)
    usual = [str(reading) for reading in every if _usual(reading)] or [str(reading) for reading in every]
    positions = next((s[1] for name, s in shapes.items() if name.endswith("pos_embed") and len(s) == 3), None)
    found = "" if positions is None else f"{positions} position embeddings, "
    fit = f"which are those of {'; or of '.join(usual[:3])}" if usual else "which no strides of such an input give"
    return InputError(
        f"the settings ({variant.name}) say {shown}, and the checkpoint has {found}{fit}",
        "choose the model that the checkpoint was trained as (model=…), or correct model.frequency_stride, "
        "model.time_stride, model.max_length, model.num_mel_bins",
    )


_STATS_QUESTION = Question(
    "the normalisation of the training's features (mean and std) is not in the file",
    (
        *(
            Choice(f"stats={name}", f"mean {mean}, std {std}, the authors' figures for {name}")
            for name, (mean, std) in STATS.items()
        ),
        Choice("model.mean=MEAN model.std=STD", "dataset_mean and dataset_std of your training (std, not twice it)"),
    ),
    f"stats={CHOOSE}",
)

_LOSS_QUESTION = Question(
    "the loss of the training is not in the file",
    (
        Choice("loss=bce", "several classes may be true at once: scores are sigmoids"),
        Choice("loss=ce", "one class is true: scores are a softmax"),
    ),
    f"loss={CHOOSE}",
)
