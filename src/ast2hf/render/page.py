"""The report as one HTML file that refers to nothing outside it, so that MLflow can show it in its sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ast2hf.render import data_set_section, plots, svg
from ast2hf.render.rows import bounds, measures, number, rows, status, words
from ast2hf.render.template import html
from ast2hf.results import (
    BLOCK_RTOL,
    FRAME_SHIFT_MS,
    LOGITS,
    NO_HEAD,
    NOT_EXPRESSIBLE,
    NOT_REACHED,
    CheckResult,
    Figures,
    Report,
)

PAGE = "report.html"


def write(path: Path, report: Report, figures: Figures | None, settings: Mapping[str, str]) -> Path:
    """The page at ``path``. Takes about a second, half of it the import of matplotlib. Raises OSError."""
    path.write_text(render(report, figures, settings), encoding="utf-8")
    return path


def render(report: Report, figures: Figures | None, settings: Mapping[str, str]) -> str:
    """The page; without plots if the conversion did not reach its proof.

    ``settings``: those of the conversion, without secrets and paths.
    """
    frame_shift = float(report.front_end.get("frame_shift_ms", FRAME_SHIFT_MS))
    logits = report.checks.get(LOGITS, CheckResult(LOGITS, LOGITS))
    return html("page.html.j2").render(
        report=report,
        checks=list(rows(report)),
        details=[(check.title, list(_details(check))) for check in report.checks.values()],
        blocks=svg.markup(lambda: plots.blocks(report), "difference after each block") if report.blocks else None,
        divergence=f"{BLOCK_RTOL:g}",
        histogram=svg.markup(lambda: plots.histogram(figures, logits), "differences of the logits")
        if figures
        else None,
        spectrogram=svg.markup(lambda: plots.spectrogram(figures.features, frame_shift), "spectrogram of the clip")
        if figures and NOT_EXPRESSIBLE not in report.front_end  # otherwise they are noise
        else None,
        data_set=data_set_section.describe(report.evaluation, figures, frame_shift) if report.evaluation else None,
        measured=measures({name: value for name, value in logits.measured.items() if name != "count"}),
        not_finite=_not_finite(figures),
        provenance=list(_provenance(report)),
        seconds={name: f"{seconds:.2f}" for name, seconds in report.timings_s.items()},
        settings=settings,
    )


def _details(check: CheckResult) -> Iterator[tuple[str, str]]:
    yield "status", status(check) + (f": {check.reason}" if check.reason else "")
    for name, value in check.measured.items():
        yield words(name), number(name, value)
    yield from bounds(check)


def _not_finite(figures: Figures | None) -> int:
    import numpy as np

    if figures is None or figures.original is None or figures.converted is None:
        return 0
    return int((~np.isfinite(figures.original) | ~np.isfinite(figures.converted)).sum())


def _provenance(report: Report) -> Iterator[tuple[str, object]]:
    size = report.source["bytes"]
    yield "date", report.date
    yield "checkpoint", report.source["uri"] or "not found"
    if size is not None:
        yield "size", f"{size:,} bytes"
    if report.source["sha256"]:
        yield "sha256", report.source["sha256"]
    if report.family:
        yield "family", report.family
    if report.head:
        yield "head", report.head
    if report.resized:
        sizes = ("max_length", "num_mel_bins")
        before, after = (" x ".join(str(report.resized[end][name]) for name in sizes) for end in ("from", "to"))
        yield "not equal to the source", f"positions fitted from {before} to {after}: {report.resized['rule']}"
    yield "clip", report.clip or NOT_REACHED
    if report.head != NO_HEAD:
        yield "labels", report.labels or NOT_REACHED
    yield "device", f"{report.device or NOT_REACHED}, {report.dtype}"
    if report.layer_norm_eps is not None:
        yield "layer norm epsilon", report.layer_norm_eps
    if report.configuration_sha256:
        yield "sha256 of the configuration", report.configuration_sha256
