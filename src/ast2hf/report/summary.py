"""What the terminal shows at the end."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ast2hf.errors import printable
from ast2hf.huggingface.folder import REPORT
from ast2hf.report.page import PAGE
from ast2hf.report.report import Report
from ast2hf.report.rows import rows
from ast2hf.run import Outcome

_WIDTH = 110
"""Columns where the output is no terminal."""

_STYLES = {"passed": "green", "failed": "bold red", "not checked": "yellow"}


def show(outcome: Outcome, run_folder: Path, dry_run: bool) -> None:
    """Print to stdout what came of a run."""
    console = _console()
    console.print(_checks(outcome.report, "planned, nothing written" if dry_run else outcome.report.status))
    if outcome.report.top5:
        console.print(_labels(outcome.report))
    for name, text in _lines(outcome, run_folder, dry_run):
        console.print(Text(f"{name:<10} {text}"), soft_wrap=True)


def show_failure(report: Report, run_folder: Path) -> None:
    """Print to stdout how far the proof came."""
    console = _console()
    console.print(_checks(report, report.status))
    for name, text in _kept(run_folder):
        console.print(Text(f"{name:<10} {text}"), soft_wrap=True)


def _console() -> Console:
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def _checks(report: Report, status: str) -> Table:
    table = Table(title=f"{report.model}: {status}", title_justify="left", title_style="bold")
    for column in ("check", "measured", "tolerance", ""):
        table.add_column(column, overflow="fold")
    for row in rows(report):
        table.add_row(row.check, row.measured, row.tolerance, Text(row.status, style=_STYLES[row.status]))
    return table


def _labels(report: Report) -> Table:
    table = Table(title=f"Best labels of the clip ({printable(report.clip)})", title_justify="left")
    table.add_column("label")
    table.add_column("original", justify="right")
    table.add_column("converted", justify="right")
    for row in report.top5:
        table.add_row(Text(printable(row.label, 60)), f"{row.original:.4f}", f"{row.converted:.4f}")
    return table


def _lines(outcome: Outcome, run_folder: Path, dry_run: bool) -> Iterator[tuple[str, str]]:
    report = outcome.report
    yield "source", f"{printable(report.source['uri'])} ({report.source['bytes']:,} bytes)"
    yield "sha256", str(report.source["sha256"])
    yield "device", f"{report.device}, {report.dtype}"
    for note in report.notes:
        yield "note", printable(note, 400)
    if dry_run:
        yield "would be", printable(outcome.target)
        return
    yield "seconds", ", ".join(f"{name} {seconds:.2f}" for name, seconds in report.timings_s.items())
    yield from _kept(run_folder)
    if outcome.tracked:
        yield "mlflow", outcome.tracked
    if outcome.registered:
        yield "registered", printable(outcome.registered, 400)
    if outcome.pushed:
        yield "hub", outcome.pushed
    yield "folder", printable(outcome.target)
    yield "use", f"AutoModelForAudioClassification.from_pretrained({str(outcome.target)!r})"


def _kept(run_folder: Path) -> Iterator[tuple[str, str]]:
    for name, file in (("report", REPORT), ("page", PAGE)):
        if (run_folder / file).exists():
            yield name, printable(run_folder / file)
