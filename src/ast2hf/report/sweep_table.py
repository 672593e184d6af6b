"""The table of a sweep: one row per job, on the terminal, as CSV and as HTML."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ast2hf.errors import printable
from ast2hf.report import plots
from ast2hf.report.page import drawn, template
from ast2hf.sweep import Job

COLUMNS = ("job", "model", "overrides", "status", "max |diff|", "tolerance", "seconds", "folder or error")

_WIDTH = 160
"""Columns where the output is no terminal."""

_BAD = ("failed", "lost", "not pushed")
_STYLES = {"passed": "green", "skipped": "cyan", "planned": "cyan", **dict.fromkeys(_BAD, "bold red")}


def row(job: Job) -> tuple[str, ...]:
    """The texts of one row, in the order of COLUMNS."""
    return (
        str(job.number),
        job.model,
        " ".join(o for o in job.overrides if not o.startswith("model=")),
        job.status,
        "" if job.max_abs_diff is None else f"{job.max_abs_diff:.2e}",
        "" if job.atol is None else f"{job.atol:.0e}",
        "" if job.seconds is None else f"{job.seconds:.1f}",
        printable(job.folder or job.error or "", 400),
    )


def show(jobs: Sequence[Job], files: Sequence[Path], tracked: str | None) -> None:
    """Print the table to stdout, and where it is kept. ``tracked``: the address of the sweep's MLflow run."""
    passed = sum(not job.code for job in jobs)
    table = Table(title=f"Sweep: {passed} of {len(jobs)} jobs passed", title_justify="left", title_style="bold")
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    for job in jobs:
        table.add_row(*(Text(text, style=_STYLES.get(text, "")) for text in row(job)))
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    for path in files:
        console.print(Text(f"table      {printable(path)}"), soft_wrap=True)
    if tracked:
        console.print(Text(f"mlflow     {tracked}"), soft_wrap=True)


def write(jobs: Sequence[Job], folder: Path) -> list[Path]:
    """``summary.csv`` and ``summary.html`` in ``folder``."""
    table, page = folder / "summary.csv", folder / "summary.html"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *map(row, jobs)])
    text = template("sweep.html.j2").render(
        title=folder.name,
        columns=COLUMNS,
        rows=[(job, row(job)) for job in jobs],
        plot=drawn(lambda: plots.sweep(jobs), "variants side by side"),
    )
    page.write_text(text, encoding="utf-8")
    return [table, page]
