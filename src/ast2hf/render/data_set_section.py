"""The section of the page about a proof over a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ast2hf.errors import printable
from ast2hf.render import data_set, data_set_plots, plots, svg
from ast2hf.render.data_set import FigureRow, signed
from ast2hf.results import Evaluation, Figures

if TYPE_CHECKING:
    from markupsafe import Markup

_LONG = 60
"""Characters of one of the labels of a clip."""


@dataclass(frozen=True)
class Clip:
    """One of the worst clips. ``features``: their plot, if there is one."""

    name: str
    difference: str
    labels: str
    original: str
    converted: str
    features: Markup | None


@dataclass(frozen=True)
class Section:
    """``classes``: label, clips that have it, average precision of both models and its difference, largest first."""

    clips: str
    digest: str
    speed: str
    figures: Sequence[FigureRow]
    summary: Sequence[tuple[str, str]]
    remarks: Sequence[str]
    precisions: Markup | None
    differences: Markup | None
    zero: str
    worst: Sequence[Clip]
    classes: Sequence[tuple[str, int, str, str, str]]
    skipped: Sequence[tuple[str, str]]


def describe(evaluation: Evaluation, figures: Figures | None, frame_shift: float) -> Section:
    """``figures`` have the features of the worst clips; ``frame_shift`` in milliseconds."""
    return Section(
        clips=data_set.clips(evaluation),
        digest=evaluation.digest,
        speed=data_set.speed(evaluation),
        figures=list(data_set.rows(evaluation)),
        summary=list(data_set.summary(evaluation)),
        remarks=list(data_set.remarks(evaluation)),
        precisions=svg.markup(lambda: data_set_plots.precisions(evaluation), "average precision of each class"),
        differences=svg.markup(lambda: data_set_plots.differences(evaluation), "differences of all logits"),
        zero=f"{10 ** evaluation.edges[1]:.1e}",
        worst=list(_worst(evaluation, figures, frame_shift)),
        classes=list(_classes(evaluation)),
        skipped=list(evaluation.skipped.items()),
    )


def _worst(evaluation: Evaluation, figures: Figures | None, frame_shift: float) -> Iterator[Clip]:
    features = figures.worst if figures else ()
    for number, clip in enumerate(evaluation.worst):
        picture = None
        if number < len(features) and features[number].size:
            draw = partial(plots.spectrogram, features[number], frame_shift, small=True)
            picture = svg.markup(draw, f"spectrogram {number + 1}")
        labels = ", ".join(printable(label, _LONG) for label in clip.labels) or "none"
        original, converted = (printable(label, _LONG) for label in (clip.original, clip.converted))
        yield Clip(clip.clip, f"{clip.max_abs_diff:.2e}", labels, original, converted, picture)


def _classes(evaluation: Evaluation) -> Iterator[tuple[str, int, str, str, str]]:
    for figures in sorted(evaluation.classes, key=lambda c: -abs(c.difference or 0)):
        original, converted = ("" if p is None else f"{p:.4f}" for p in (figures.original, figures.converted))
        yield figures.label, figures.positives, original, converted, signed(figures.difference)
