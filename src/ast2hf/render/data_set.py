"""The figures over a data set as text, the same for every view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ast2hf.errors import printable
from ast2hf.render.rows import number, words
from ast2hf.results import ACCURACY_TOP5, AUC, D_PRIME, MAP, MAX_ABS_DIFF, Evaluation, Metric

_TITLES = {D_PRIME: "d'", ACCURACY_TOP5: "accuracy, top 5"}
"""Of the metrics whose key is not shown."""

_NAMED, _LONG = 6, 40
"""How many names are shown, and how many characters of each."""

BIASED = (
    "mAP over few clips is higher than over many: compare it with a published one only if that was measured on the "
    "same clips."
)


class FigureRow(NamedTuple):
    figure: str
    original: str
    converted: str
    difference: str


def rows(evaluation: Evaluation) -> Iterator[FigureRow]:
    """One row per metric, the headline first, without metrics that neither model has."""
    for name, metric in evaluation.metrics.items():
        if metric != Metric(None, None):
            original, converted = _value(metric.original), _value(metric.converted)
            yield FigureRow(title(name), original, converted, signed(metric.difference))


def title(metric: str) -> str:
    return _TITLES.get(metric, words(metric))


def clips(evaluation: Evaluation) -> str:
    """How many of which data set: ``400 clips of ESC-50``."""
    return f"{_count(evaluation.clips, 'clip')} of {evaluation.name}"


def summary(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Remarks on both models together, each with a name of one word."""
    yield "agreement", f"{100 * evaluation.agreement:.6g} % of the clips have the same best label"
    largest, mean, p99 = (
        number(MAX_ABS_DIFF, d) for d in (evaluation.max_abs_diff, evaluation.mean_abs_diff, evaluation.p99_abs_diff)
    )
    yield "logits", f"differ by at most {largest}, on average by {mean}; 99 % of them by at most {p99}"


def skipped(evaluation: Evaluation) -> str:
    """How many clips could not be read, and some of them with the reason; empty if there are none."""
    shown = [f"{printable(clip, _LONG)} ({printable(why, 60)})" for clip, why in evaluation.skipped.items()]
    return f"{_count(len(shown), 'clip')}: {_some(shown, 3)}" if shown else ""


def speed(evaluation: Evaluation) -> str:
    found = evaluation.clips_per_second
    done = "everything was cached" if found is None else f"{found:.3g} clips per second through both models"
    return f"{done}; {evaluation.dtype}, {_count(evaluation.batch_size, 'clip')} per forward pass"


def remarks(evaluation: Evaluation) -> Iterator[str]:
    """What a reader of the figures needs to know, in sentences."""
    precision, area = evaluation.metrics.get(MAP), evaluation.metrics.get(AUC)
    if precision is not None and precision != Metric(None, None):
        yield BIASED
    if left := evaluation.undefined:
        names = _some([printable(label, _LONG) for label in left], _NAMED)
        is_left = "1 class is" if len(left) == 1 else f"{len(left)} classes are"
        yield f"{is_left} left out of mAP, AUC and d', since no clip or every clip has the label: {names}."
    if area is not None and not {0.0, 1.0}.isdisjoint((area.original, area.converted)):
        yield "d' is infinite if AUC is 1."


def _value(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6f}"


def signed(difference: float | None) -> str:
    """A difference with its sign; empty if one of the two values is undefined."""
    return "" if difference is None else f"{difference:+.2e}" if difference else "0"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _some(names: Sequence[str], most: int) -> str:
    """The first of ``names``, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
