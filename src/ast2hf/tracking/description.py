"""The description that MLflow shows at the top of a run's page, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ast2hf.render import data_set, sweep_page
from ast2hf.render.rows import rows
from ast2hf.render.template import cell
from ast2hf.results import Evaluation, Report
from ast2hf.tracking import view

if TYPE_CHECKING:
    from ast2hf.sweep.job import Job

LIMIT = 7500
"""Characters of a description; MLflow truncates a tag after 8000, even inside a table."""

_PLACE = re.compile(r"#/experiments/\w+/runs/\w+(?=\?|$)")
"""The end of a run's URL: as a link it leads to that run on whatever server shows it."""


def of_run(report: Report) -> str:
    """The verdict, the checks, and the figures over a data set if there are any."""
    about = f"**{report.status}** · {cell(report.model)}"
    if report.family:
        about += f" · family {cell(report.family)}"
    if report.device:
        about += f" · {cell(report.device)}, {cell(report.dtype)}"
    lines = [about, ""]
    if report.error:
        lines += [f"Error: {cell(report.error)}", ""]
    lines += table(["check", "measured", "tolerance", "status"], [tuple(row) for row in rows(report)])
    if report.evaluation is not None:
        lines += ["", *_figures(report.evaluation)]
    lines += ["", *(f"- {cell(note)}" for note in report.notes)]
    return _within_limit(lines, "report.html has the rest")


def _figures(evaluation: Evaluation) -> Iterator[str]:
    heard = f"On {cell(data_set.clips(evaluation))}, in {evaluation.dtype}"
    yield heard + (f"; skipped: {cell(data_set.skipped(evaluation))}" if evaluation.skipped else "")
    yield ""
    yield from table(["figure", "original", "converted", "difference"], data_set.rows(evaluation))
    yield ""
    yield from (f"- {name}: {cell(text)}" for name, text in data_set.summary(evaluation))


def of_sweep(jobs: Sequence[Job]) -> str:
    """The comparison of ``jobs``, each with a link to its run."""
    checks = sweep_page.compared_checks(jobs)
    texts = [sweep_page.row(job, checks) for job in jobs]
    overrides = ["overrides"] if any(row["overrides"] for row in texts) else []
    shown = ["job", "model", *overrides, "status", *checks, "seconds"]
    errors = ["error"] if any(row["error"] for row in texts) else []
    passed = f"**{sum(not job.code for job in jobs)} of {len(jobs)} jobs passed**"
    links = [_link(job) for job in jobs]
    experiment = next((link.rpartition("/")[0] for link in links if link), None)
    lines = [passed + (f" · [compare them in the list of runs]({experiment}?{view.QUERY})" if experiment else ""), ""]
    header = [name.replace("_", " ") for name in (*shown, *errors)]
    lines += table(header, [[row[name] for name in (*shown, *errors)] for row in texts], links)
    return _within_limit(lines, "summary.csv has all jobs")


def _link(job: Job) -> str | None:
    found = _PLACE.search(job.tracked or "")
    return found[0] if found else None


def table(header: Sequence[str], body: Iterable[Sequence[str]], links: Sequence[str | None] = ()) -> list[str]:
    """The lines of a Markdown table. ``links``: of the second cell of each row."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for number, texts in enumerate(body):
        cells = [cell(text) for text in texts]
        link = links[number] if links else None
        if link is not None:
            cells[1] = f"[{cells[1]}]({link})"
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _within_limit(lines: Sequence[str], rest: str) -> str:
    """As many whole ``lines`` as fit; ``rest`` follows if some do not."""
    kept: list[str] = []
    room = LIMIT - len(rest) - 2
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return "\n".join([*kept, "", rest])
        kept.append(line)
    return "\n".join(kept).strip()
