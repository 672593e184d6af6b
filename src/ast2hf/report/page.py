"""The report as one HTML file that refers to nothing outside it, so that MLflow can show it in its sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.config import Config
from ast2hf.errors import printable
from ast2hf.huggingface.folder import write_text
from ast2hf.reference.front_end import FRAME_SHIFT
from ast2hf.report import plots, svg
from ast2hf.report.evidence import Evidence
from ast2hf.report.report import Report
from ast2hf.report.rows import rows
from ast2hf.report.settings import settings

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup
    from matplotlib.figure import Figure

PAGE = "report.html"


def write(folder: Path, config: Config, report: Report, evidence: Evidence | None) -> Path:
    """``report.html`` in ``folder``. Takes about a second, half of it the import of matplotlib. Raises OutputError."""
    path = folder / PAGE
    write_text(path, render(config, report, evidence))
    return path


def render(config: Config, report: Report, evidence: Evidence | None) -> str:
    """The page; of a run that did not come to its proof, without the pictures."""
    return template("page.html.j2").render(
        report=report,
        checks=list(rows(report)),
        blocks=drawn(lambda: plots.blocks(report), "difference after each block") if report.blocks else None,
        histogram=drawn(lambda: plots.histogram(evidence, report.logits), "differences of the logits")
        if evidence
        else None,
        spectrogram=drawn(lambda: plots.spectrogram(evidence, FRAME_SHIFT), "spectrogram of the clip")
        if evidence
        else None,
        not_finite=_not_finite(evidence),
        provenance=list(_provenance(report)),
        seconds={name: f"{seconds:.2f}" for name, seconds in report.timings_s.items()},
        settings=settings(config),
    )


def template(name: str) -> Template:
    """A template of this folder; everything put into it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("ast2hf", "report"), undefined=StrictUndefined, autoescape=True)
    environment.filters |= {"printable": lambda value: printable(value, 400), "percent": _percent}
    return environment.get_template(name)


def drawn(draw: Callable[[], Figure | None], name: str) -> Markup | None:
    """A picture for a template. matplotlib has escaped what it holds."""
    from markupsafe import Markup

    picture = svg.inline(draw, name)
    return None if picture is None else Markup(picture)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if isfinite(share) else "0"


def _not_finite(evidence: Evidence | None) -> int:
    import numpy as np

    if evidence is None or evidence.original is None or evidence.converted is None:
        return 0
    return int((~np.isfinite(evidence.original) | ~np.isfinite(evidence.converted)).sum())


def _provenance(report: Report) -> Iterator[tuple[str, object]]:
    size = report.source["bytes"]
    yield "checkpoint", report.source["uri"] or "not found"
    if size is not None:
        yield "size", f"{size:,} bytes"
    if report.source["sha256"]:
        yield "sha256", report.source["sha256"]
    yield "clip", report.clip or "not reached"
    yield "labels", report.labels or "not reached"
    yield "device", f"{report.device or 'not reached'}, {report.dtype}"
    if report.layer_norm_eps is not None:
        yield "layer norm epsilon", report.layer_norm_eps
    if report.configuration_sha256:
        yield "sha256 of the configuration", report.configuration_sha256
