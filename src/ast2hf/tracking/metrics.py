"""The figures of a report as MLflow metrics, under short names that differ in their first letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from ast2hf.results import MAX_ABS_DIFF, TOLERANCE_USED, CheckResult, Evaluation, Report


def of_report(report: Report) -> Iterator[tuple[str, float, int]]:
    """Every difference, tolerance and stage time. Values that are not finite cannot be stored; the report has them."""
    found = [(name, value, 0) for name, value in _of_checks(list(report.checks.values()))]
    found += [(name, value, 0) for check in report.checks.values() for name, value in _of_check(check)]
    if report.evaluation is not None:
        found += [(name, value, 0) for name, value in _of_evaluation(report.evaluation)]
    found += [(f"seconds.{stage}", seconds, 0) for stage, seconds in report.timings_s.items()]
    for step, block in enumerate(report.blocks):
        found.append(("block.diff", block.max_abs_diff, step))
        found.append(("block.relative", block.relative_diff, step))
    return (metric for metric in found if isfinite(metric[1]))


def _of_checks(checks: Sequence[CheckResult]) -> Iterator[tuple[str, float]]:
    """All checks in a few figures by which runs can be sorted: counts, and the largest share of its tolerance that any
    check used."""
    for status in ("passed", "failed", "not_checked"):
        yield status, float(sum(check.status == status for check in checks))
    used = [share for check in checks if isfinite(share := float(check.measured.get(TOLERANCE_USED, "nan")))]
    if used:
        yield TOLERANCE_USED, max(used)


def _of_check(check: CheckResult) -> Iterator[tuple[str, float]]:
    """What ``check`` measured; a check that was not made has no ``passed``, since 0 would mean that it failed."""
    if check.status in ("passed", "failed"):
        yield f"{check.name}.passed", float(check.status == "passed")
    for key, value in {**check.measured, **check.tolerance}.items():
        if isinstance(value, int | float):
            yield f"{check.name}.{_short(key)}", float(value)


def _of_evaluation(evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    """Its figures; the other measures are those of the data set check."""
    for name, metric in evaluation.metrics.items():
        for key in ("original", "converted", "difference"):
            value = getattr(metric, key)
            if value is not None:
                yield f"{name}.{key}", value
    yield "clips", evaluation.clips
    yield "clips.skipped", len(evaluation.skipped)
    if evaluation.clips_per_second is not None:
        yield "clips.per_second", evaluation.clips_per_second


def _short(key: str) -> str:
    """``max_abs_diff`` as ``diff``: a column of MLflow shows the beginning of a name."""
    return "diff" if key == MAX_ABS_DIFF else key.replace("abs_", "")
