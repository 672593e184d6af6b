"""The jobs of a sweep as rows of text, and as one HTML file with a link to the page of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Protocol
from urllib.parse import quote

from ast2hf.errors import printable
from ast2hf.privacy import without_paths
from ast2hf.render import plots, svg
from ast2hf.render.rows import number
from ast2hf.render.template import html
from ast2hf.results import MAX_ABS_DIFF

_LONG = 400


class Job(plots.Job, Protocol):
    """The outcome of one job. ``folder``: of the model; only its name is shown, since the table leaves the machine."""

    @property
    def status(self) -> str: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def folder(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


def compared_checks(jobs: Sequence[Job]) -> list[str]:
    """The checks that compare values in any of ``jobs``, in the order of the proof."""
    names = dict.fromkeys(name for job in jobs for name in job.checks)
    return [name for name in names if any(job.checks.get(name, (None, None)) != (None, None) for job in jobs)]


def row(job: Job, checks: Sequence[str]) -> dict[str, str]:
    """The texts of a job by column. ``checks``: those that have columns."""
    texts = {
        "job": str(job.number),
        "model": printable(job.model),
        "overrides": printable(" ".join(o for o in job.overrides if not o.startswith("model="))),
        "status": job.status,
    }
    for name in checks:
        found, atol = job.checks.get(name, (None, None))
        texts[name] = "" if found is None else number(MAX_ABS_DIFF, float(found))
        texts[f"{name} tolerance"] = "" if atol is None else f"{atol:g}"
    texts["seconds"] = "" if job.seconds is None else f"{job.seconds:.1f}"
    texts["folder"] = printable(PurePath(job.folder).name, _LONG) if job.folder else ""
    texts["error"] = printable(without_paths(job.error or ""), _LONG)
    return texts


def render(title: str, jobs: Sequence[Job], pages: Mapping[int, str]) -> str:
    """The page. ``pages``: by the number of a job, the path of its report's page relative to this one."""
    checks = compared_checks(jobs)
    return html("sweep.html.j2").render(
        title=title,
        checks=checks,
        rows=[(job, row(job, checks), quote(pages[job.number]) if job.number in pages else None) for job in jobs],
        plot=svg.markup(lambda: plots.sweep(jobs), "variants side by side"),
    )
