"""The checks of a report as rows of text, the same for every view. A new check needs nothing here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ast2hf.results import (
    AGREEMENT,
    HEADLINE,
    HEADLINE_DIFFERENCE,
    MAX_ABS_DIFF,
    TOLERANCE_USED,
    CheckResult,
    Measure,
    Report,
)


class _Bound(NamedTuple):
    """``ending``: of the bounded measure's name; ``text``: the bound as rows show it; ``name``: its name in a list."""

    ending: str
    text: str
    name: str


_BOUNDS = {
    "atol": _Bound(MAX_ABS_DIFF, "{}", "absolute"),
    "rtol": _Bound(MAX_ABS_DIFF, "{} of the value", "relative"),
    AGREEMENT: _Bound(AGREEMENT, "agreement at least {}", "least agreement"),
    HEADLINE: _Bound(HEADLINE_DIFFERENCE, "difference at most {}", "difference of the headline"),
}


class Row(NamedTuple):
    check: str
    measured: str
    tolerance: str
    status: str


def rows(report: Report) -> Iterator[Row]:
    """One row per check, in the order of the proof."""
    for check in report.checks.values():
        made = check.status in ("passed", "failed")
        yield Row(check.title, essence(check), tolerance(check) if made else "", status(check))


def status(check: CheckResult) -> str:
    return check.status.replace("_", " ")


def essence(check: CheckResult) -> str:
    """What ``check`` measured, in a few words, or why it was not made.

    For a check with a tolerance, only the measures that it bounds: the page and the JSON have the others.
    """
    if check.status not in ("passed", "failed") or not check.measured:
        return check.reason or ""
    endings = tuple(bound.ending for name, bound in _BOUNDS.items() if name in check.tolerance)
    return measures({n: value for n, value in check.measured.items() if n.endswith(endings)} or check.measured)


def measures(measured: Mapping[str, Measure]) -> str:
    """Everything measured, the largest difference first."""
    ordered = sorted(measured, key=lambda name: name != MAX_ABS_DIFF)
    return ", ".join(measure(name, measured[name]) for name in ordered)


def measure(name: str, value: Measure) -> str:
    """A count as ``4 dropped``, anything else as ``cosine 0.999999999``."""
    return f"{value} {words(name)}" if isinstance(value, int) else f"{words(name)} {number(name, value)}"


def words(name: str) -> str:
    """The name of a measure for people: ``max_abs_diff`` is the ``max difference``."""
    return name.replace("abs_diff", "difference").replace("_", " ")


def number(name: str, value: Measure) -> str:
    if not isinstance(value, float):
        return str(value)
    if name == TOLERANCE_USED:
        return f"{100 * value:.3g} %"
    return f"{value:.2e}" if value and "diff" in name else f"{value:.9g}"


def tolerance(check: CheckResult) -> str:
    """As it was set, not rounded: the bound that is shown must be the one that was applied."""
    bounds = [
        _BOUNDS[name].text.format(f"{bound:g}") if name in _BOUNDS else f"{words(name)} {bound:g}"
        for name, bound in check.tolerance.items()
        if bound or name != "rtol"
    ]
    return (" + " if "atol" in check.tolerance else ", ").join(bounds) or "exact"


def bounds(check: CheckResult) -> Iterator[tuple[str, str]]:
    """Each bound of ``check`` by a name for a list."""
    for name, bound in check.tolerance.items():
        yield f"tolerance, {_BOUNDS[name].name if name in _BOUNDS else words(name)}", f"{bound:g}"
