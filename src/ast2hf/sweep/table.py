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
from ast2hf.sweep.job import Job

_WIDTH = 110
"""Columns where stdout is not a terminal."""

_BAD = ("failed", "lost", "not pushed")
_STYLES = {"passed": "green", "skipped": "cyan", "planned": "cyan", **dict.fromkeys(_BAD, "bold red")}


def checks(jobs: Sequence[Job]) -> list[str]:
    """The checks that have a tolerance in any of ``jobs``, in the order of the proof."""
    return list(dict.fromkeys(name for job in jobs for name in job.tolerances))


def row(job: Job, names: Sequence[str]) -> dict[str, str]:
    """The texts of a job by column. ``names``: of the checks that have columns."""
    texts = {
        "job": str(job.number),
        "model": job.model,
        "overrides": " ".join(o for o in job.overrides if not o.startswith("model=")),
        "status": job.status,
    }
    for name in names:
        texts[name] = f"{job.measured[name]:.2e}" if name in job.measured else ""
        texts[f"{name} tolerance"] = f"{job.tolerances[name]:.0e}" if name in job.tolerances else ""
    texts["seconds"] = "" if job.seconds is None else f"{job.seconds:.1f}"
    texts["folder"] = printable(job.folder or "", 400)
    texts["error"] = printable(job.error or "", 400)
    return texts


def show(jobs: Sequence[Job], files: Sequence[Path], tracked: str | None) -> None:
    """Print the table to stdout, with folders and errors below it. ``tracked``: the address of the sweep's MLflow run.

    Raises OSError.
    """
    names = checks(jobs)
    shown = ("job", "model", "overrides", "status", *names, "seconds")
    passed = sum(not job.code for job in jobs)
    table = Table(title=f"Sweep: {passed} of {len(jobs)} jobs passed", title_justify="left", title_style="bold")
    for name in shown:
        table.add_column(name, overflow="fold", justify="right" if name in (*names, "seconds") else "left")
    rows = [row(job, names) for job in jobs]
    for texts in rows:
        table.add_row(*(Text(texts[name], style=_STYLES.get(texts[name], "")) for name in shown))
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    for texts in rows:
        for what in ("folder", "error"):
            if texts[what]:
                console.print(Text(f"{'job ' + texts['job']:<10} {what}: {texts[what]}"), soft_wrap=True)
    for path in files:
        console.print(Text(f"table      {printable(path)}"), soft_wrap=True)
    if tracked:
        console.print(Text(f"mlflow     {tracked}"), soft_wrap=True)


def write(jobs: Sequence[Job], folder: Path) -> list[Path]:
    """Write ``summary.csv`` and ``summary.html`` into ``folder``; return their paths. Raises OSError."""
    table, page = folder / "summary.csv", folder / "summary.html"
    names = checks(jobs)
    rows = [row(job, names) for job in jobs]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = template("sweep.html.j2").render(
        title=folder.name,
        columns=list(rows[0]),
        rows=list(zip(jobs, rows, strict=True)),
        plot=drawn(lambda: plots.sweep(jobs), "variants side by side"),
    )
    page.write_text(text, encoding="utf-8")
    return [table, page]
