"""Readings: the strides and lengths that are consistent with a number of patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ast2hf.mapping.ops import Sizes


@dataclass(frozen=True)
class Reading:
    """Strides in bins and frames, and the ``shortest`` and ``longest`` input in frames that give these patches.

    Every length between the two is the same function: frames after the last patch are never read. ``cut``: the model
    has positions for this many columns, and a shorter input uses the first of them, so shorter lengths are also valid.
    """

    frequency_stride: int
    time_stride: int
    rows: int
    columns: int
    shortest: int
    longest: int
    cut: bool = False

    def has(self, frequency_stride: int | None, time_stride: int | None, max_length: int | None) -> bool:
        """Whether it agrees with the given values; None agrees with everything."""
        return (
            frequency_stride in (None, self.frequency_stride)
            and time_stride in (None, self.time_stride)
            and (max_length is None or self.spans(max_length) or (self.cut and max_length < self.shortest))
        )

    def spans(self, length: int) -> bool:
        return self.shortest <= length <= self.longest

    def __str__(self) -> str:
        length = str(self.shortest) if self.shortest == self.longest else f"{self.shortest} to {self.longest}"
        return (
            f"strides {self.frequency_stride} x {self.time_stride}, {length} frames: "
            f"{self.rows} x {self.columns} patches"
        )


def of_grid(patches: int, kernel: Sizes, bins: int, said: tuple[int | None, int | None]) -> Iterator[Reading]:
    """The readings of ``patches`` for a ``kernel`` (bins, frames) that moves over ``bins`` mel bins.

    Without padding, as in all models here: rows = (bins - height) // stride + 1, and likewise for frames. A stride
    larger than its side of the kernel would skip input, and is considered only if it was ``said`` (set by the user).
    """
    height, width = kernel
    if bins < height:
        return
    for frequency_stride in sorted({*range(1, height + 1), *filter(None, said[:1])}) if bins > height else [height]:
        rows = (bins - height) // frequency_stride + 1
        columns, left = divmod(patches, rows)
        if left or columns < 1:
            continue
        for time_stride in sorted({*range(1, width + 1), *filter(None, said[1:])}):
            shortest = width + (columns - 1) * time_stride
            yield Reading(frequency_stride, time_stride, rows, columns, shortest, shortest + time_stride - 1)
