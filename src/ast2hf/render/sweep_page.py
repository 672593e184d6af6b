"""The jobs of a sweep as rows of text, and as one HTML file with a link to the page of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Protocol
from urllib.parse import quote

from ast2hf.errors import printable
from ast2hf.render import plots, svg
from ast2hf.render.rows import number, words
from ast2hf.render.template import html
from ast2hf.results import MAX_ABS_DIFF

COLUMNS = ("job", "model", "overrides", "status", "check", "max |diff|", "tolerance", "seconds", "folder or error")


class Job(plots.Job, Protocol):
    """What came of one job. ``folder``: of the model; only its name is shown, for the table leaves the machine."""

    @property
    def status(self) -> str: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def folder(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


def row(job: Job) -> tuple[str, ...]:
    """The texts of one row, in the order of COLUMNS."""
    check = plots.shown_check(job.checks)
    found, atol = job.checks[check] if check else (None, None)
    return (
        str(job.number),
        printable(job.model),
        printable(" ".join(o for o in job.overrides if not o.startswith("model="))),
        job.status,
        words(check) if check else "",
        "" if found is None else number(MAX_ABS_DIFF, float(found)),
        "" if atol is None else f"{atol:g}",
        "" if job.seconds is None else f"{job.seconds:.1f}",
        printable(PurePath(job.folder).name if job.folder else job.error or "", 400),
    )


def render(title: str, jobs: Sequence[Job], pages: Mapping[int, str]) -> str:
    """The page. ``pages``: by the number of a job, the path of its report's page relative to this one."""
    return html("sweep.html.j2").render(
        title=title,
        columns=COLUMNS,
        rows=[(job, row(job), quote(pages[job.number]) if job.number in pages else None) for job in jobs],
        plot=svg.markup(lambda: plots.sweep(jobs), "variants side by side"),
    )
