"""The checks of a report as rows of text: check, measured, tolerance, status. For the terminal and the model card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ast2hf.report.report import Comparison, Report


class Row(NamedTuple):
    check: str
    measured: str
    tolerance: str
    status: str


_NAMES = {
    "coverage": "tensors of the checkpoint",
    "weights": "written weights, mapped back",
    "load": "from_pretrained",
    "features": "feature extractor",
    "pooled": "pooled output",
    "logits": "all logits",
    "expected_logits": "published logits",
}


def rows(report: Report) -> Iterator[Row]:
    """One row per check, in the order of the proof."""
    coverage, load, logits = report.coverage, report.load, report.logits
    tensors = f"{coverage.consumed} mapped, {coverage.dropped} dropped, 0 missing; {coverage.targets} written"
    exact = {
        "coverage": (tensors, "all"),
        "weights": ("bit for bit" if report.weights.bit_exact else "not equal", "bit for bit"),
        "load": (
            f"{len(load.missing)} missing, {len(load.unexpected)} unexpected, {len(load.mismatched)} mismatched", "none"
        ),
    }  # fmt: skip
    for name, check in report.checks.items():
        measured, tolerance = exact.get(name, ("", ""))
        if isinstance(check, Comparison):
            measured = "" if check.max_abs_diff is None else f"max |diff| {check.max_abs_diff:.2e}"
            tolerance = "" if check.atol is None else f"{check.atol:.0e}"
        if name == "logits" and logits.rtol:
            tolerance += f" + {logits.rtol:.0e} |logit|"
        if check.status == "not_checked" or (name == "coverage" and check.status == "failed"):
            measured, tolerance = check.reason or "", ""
        yield Row(_NAMES[name], measured, tolerance, check.status.replace("_", " "))
