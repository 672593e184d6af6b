"""The pictures of a proof over a data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ast2hf.errors import printable
from ast2hf.render.plots import BAD, GOOD, LINE, new_figure
from ast2hf.results import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED, _LONG = 5, 26
"""Classes that are named, and characters of a name that fit."""

_APART = 5e-3
"""Difference of average precision that is visible as a distance from the diagonal."""

_LINE_HEIGHT = 0.065
"""Of a name, as a fraction of the axis."""

_ROOM = 0.5
"""Below this height there is room for a name right of the diagonal, above it left of the diagonal."""

_TICKS = 6


class _Point(NamedTuple):
    label: str
    original: float
    converted: float

    @property
    def above(self) -> float:
        return self.converted - self.original


def precisions(evaluation: Evaluation) -> Figure | None:
    """The average precision of each class, original against converted; None if no class has one.

    The classes farthest from the diagonal are named, if they are visibly off it.
    """
    points = [
        _Point(c.label, c.original, c.converted)
        for c in evaluation.classes
        if c.original is not None and c.converted is not None
    ]
    if not points:
        return None
    points.sort(key=lambda point: abs(point.above), reverse=True)
    named = [point for point in points[:_NAMED] if abs(point.above) >= _APART]
    figure = new_figure(5.4, 4.6)
    axes = figure.add_subplot()
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.plot([0, 1], [0, 1], color=LINE, linestyle="--", linewidth=1)
    for shown, colour in ((points[len(named) :], GOOD), (named, BAD)):
        before, after = [point.original for point in shown], [point.converted for point in shown]
        axes.plot(before, after, "o", color=colour, markersize=5, alpha=0.7, markeredgewidth=0)
    for up in (True, False):
        _name(axes, [point for point in named if (point.above > 0) == up], up)
    axes.set_xlabel("average precision, original")
    axes.set_ylabel("average precision, converted")
    return figure


def _name(axes: Axes, points: Iterable[_Point], up: bool) -> None:
    """Write their names on that side of the diagonal, as near to their heights as possible, with a line to each."""

    def mirrored(height: float) -> float:
        return 1 - height if up else height

    ordered = sorted(points, key=lambda point: mirrored(point.converted), reverse=True)
    heights: list[float] = []
    for point in ordered:
        heights.append(min(mirrored(point.converted), heights[-1] - _LINE_HEIGHT if heights else _ROOM))
    for place, (point, height) in enumerate(zip(ordered, heights, strict=True)):
        height = max(height, (len(ordered) - 1 - place) * _LINE_HEIGHT)
        axes.annotate(
            printable(point.label, _LONG), (point.original, point.converted),
            xytext=(mirrored(1), mirrored(height)), ha="left" if up else "right", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.7, "relpos": (float(up), 0.5)},
            parse_math=False,
        )  # fmt: skip


def differences(evaluation: Evaluation) -> Figure:
    """The distribution of the differences of the logits, on a logarithmic axis with zero at its left end."""
    edges, counts = evaluation.edges, evaluation.histogram
    shares = [100 * count / sum(counts) for count in counts]
    used = [place for place, count in enumerate(counts) if count and place] or [len(counts) - 1]
    shown = slice(used[0], used[-1] + 1)
    width = edges[1] - edges[0]
    figure = new_figure(5.4, 4.6)
    axes = figure.add_subplot()
    axes.bar(edges[shown], shares[shown], width=width, align="edge", color=GOOD)
    powers = [edge for edge in edges[used[0] : used[-1] + 2] if edge == int(edge)]
    powers = powers[:: 1 + len(powers) // _TICKS]
    ticks, names = list(powers), [f"1e{power:g}" for power in powers]
    if counts[0]:
        zero = edges[used[0]] - 2 * width
        axes.bar(zero, shares[0], width=width, color=LINE)
        ticks.append(zero)
        names.append("0")
    axes.set_xticks(ticks, names)
    axes.set_xlabel("|converted \N{MINUS SIGN} original|")
    axes.set_ylabel("logits, %")
    return figure
