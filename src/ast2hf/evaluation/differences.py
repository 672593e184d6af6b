"""How far the logits of two models differ over a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ast2hf.errors import VerificationError, printable

Logits: TypeAlias = NDArray[np.float32]

CLIPS = 1024
"""Clips that are read at a time. The last digits of a sum depend on it, so it is the same for all data sets."""

WORST = 10
"""How many of the clips whose logits differ most are named."""

EDGES = tuple(-10 + 0.25 * step for step in range(49))
"""Of the histogram, log10 of the difference. Values beyond them, including zero, count in the outermost bins."""


@dataclass(frozen=True)
class Differences:
    """Absolute differences of all logits. ``of_clips``: the largest one of each clip, (clips,)."""

    of_clips: Logits
    mean: float
    p99: float
    histogram: tuple[int, ...]

    @property
    def largest(self) -> float:
        return float(self.of_clips.max())

    @property
    def worst(self) -> list[int]:
        """The places of the clips with the largest differences; ties in the order of the data set."""
        return [int(place) for place in np.argsort(-self.of_clips, kind="stable")[:WORST]]


def differences(original: Logits, converted: Logits, clips: Sequence[str]) -> Differences:
    """The differences of two arrays (clips, labels), which may be ``np.memmap``; ``clips``: their names.

    The 99th percentile is the smallest difference that at least 99 of 100 do not exceed. It is exact, and
    computed block by block. Raises VerificationError if a logit is not finite.
    """
    of_clips, total = np.empty(len(original), np.float32), 0.0
    histogram, upper = np.zeros(len(EDGES) - 1, np.int64), np.zeros(1 << 16, np.int64)
    for rows in blocks(len(original), CLIPS):
        found = _absolute(original[rows], converted[rows])
        _require_finite(found, original[rows], clips[rows])
        of_clips[rows] = found.max(axis=1)
        total += float(found.sum(dtype=np.float64))
        with np.errstate(divide="ignore"):
            powers = np.log10(found, dtype=np.float64).clip(EDGES[0], EDGES[-1])
        histogram += np.histogram(powers, EDGES)[0]
        upper += np.bincount(_bits(found) >> 16, minlength=len(upper))
    # Non-negative floats are ordered as their bits are. So counting their upper halves finds the upper half of the
    # percentile, and a second count its lower half.
    rank = -(-99 * original.size // 100)
    half = int(np.searchsorted(upper.cumsum(), rank))
    lower = np.zeros(1 << 16, np.int64)
    for rows in blocks(len(original), CLIPS):
        bits = _bits(_absolute(original[rows], converted[rows]))
        lower += np.bincount(bits[bits >> 16 == half] & 0xFFFF, minlength=len(lower))
    rest = int(np.searchsorted(lower.cumsum(), rank - int(upper[:half].sum())))
    p99 = float(np.uint32(half << 16 | rest).view(np.float32))
    return Differences(of_clips, total / original.size, p99, tuple(int(count) for count in histogram))


def blocks(length: int, size: int) -> Iterator[slice]:
    """The slices of ``size`` that make up ``length``."""
    return (slice(start, start + size) for start in range(0, length, size))


def _absolute(original: Logits, converted: Logits) -> Logits:
    with np.errstate(invalid="ignore", over="ignore"):  # such clips are refused by name
        found: Logits = np.abs(converted - original)
    return found


def _bits(values: Logits) -> NDArray[np.uint32]:
    return values.ravel().view(np.uint32)


def _require_finite(found: Logits, original: Logits, clips: Sequence[str]) -> None:
    """Raise VerificationError if a difference is NaN or infinite, since one of the two logits then is."""
    bad = ~np.isfinite(found).all(axis=1)
    if not bad.any():
        return
    place = int(bad.argmax())
    which = "converted" if np.isfinite(original[place]).all() else "original"
    raise VerificationError(
        f"the {which} model gives logits that are not finite for the clip {printable(clips[place], 100)}",
        "prove the model in float32 (data.dtype=float32); if that does not help, check the clip",
    )
