"""The table of a sweep: one row per job, on the terminal, as CSV and as HTML."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ast2hf.errors import printable
from ast2hf.render import sweep_page
from ast2hf.sweep.job import Job

if TYPE_CHECKING:
    from ast2hf.tracking.runs import Recorded

_WIDTH = 110
"""Width in characters if stdout is not a terminal."""

_ROOM = 100
"""Width in characters below which the names would have no space left beside the differences."""

_ERROR = 180
"""Characters of an error below the table, two lines; the rest is in the CSV and in the job's folder."""

_FIGURE = 8
"""Width in characters of a measured difference."""

_PAGE = "report.html"
"""The page in the folder of a job whose conversion is recorded."""

_BAD = ("failed", "lost", "not pushed")
_STYLES = {"passed": "green", "skipped": "cyan", "planned": "cyan", **dict.fromkeys(_BAD, "bold red")}


def show(jobs: Sequence[Job], files: Sequence[Path], recorded: Recorded | None) -> None:
    """Print the table to stdout, with folders and errors below it. ``recorded``: where the sweep is in MLflow.

    Raises OSError.
    """
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    checks = sweep_page.compared_checks(jobs) if console.width >= _ROOM else []
    rows = [sweep_page.row(job, checks) for job in jobs]
    overrides = ["overrides"] if any(texts["overrides"] for texts in rows) else []
    shown = ("job", "model", *overrides, "status", *checks, "seconds")
    title = f"Sweep: {sum(not job.code for job in jobs)} of {len(jobs)} jobs passed"
    table = Table(
        title=title, title_justify="left", title_style="bold",
        box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False,
    )  # fmt: skip
    for name in shown:
        text, folds = name.replace("_", " "), name in ("model", "overrides")
        # Figures are kept as narrow as possible, to leave space for names.
        narrow = max(_FIGURE, *map(len, text.split())) if name in checks else None
        right = name in (*checks, "seconds")
        table.add_column(
            text, overflow="fold", justify="right" if right else "left", width=narrow, no_wrap=not folds and not narrow
        )
    for texts in rows:
        table.add_row(*(Text(texts[name], style=_STYLES.get(texts[name], "")) for name in shown))
    console.print(table)
    for job in jobs:
        for what, known, limit in (("folder", job.folder, 400), ("error", job.error, _ERROR)):
            if known:
                console.print(Text(f"{f'job {job.number}':<10} {what}: {printable(known, limit)}"), soft_wrap=True)
    for path in files:
        console.print(Text(f"table      {printable(path)}"), soft_wrap=True)
    if recorded:
        console.print(Text(f"mlflow     {recorded.run}"), soft_wrap=True)
        console.print(Text(f"compare    {recorded.runs}"), soft_wrap=True)


def write(jobs: Sequence[Job], folder: Path) -> list[Path]:
    """Write ``summary.csv`` and ``summary.html`` into ``folder``; return their paths. Raises OSError."""
    table, page = folder / "summary.csv", folder / "summary.html"
    checks = sweep_page.compared_checks(jobs)
    rows = [sweep_page.row(job, checks) for job in jobs]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = {int(path.parent.name.partition("_")[0]): path for path in folder.glob(f"*_*/{_PAGE}")}
    pages = {number: os.path.relpath(path, folder) for number, path in found.items()}
    page.write_text(sweep_page.render(folder.name, jobs, pages), encoding="utf-8")
    return [table, page]
