"""The terminal's output at the end of a conversion."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ast2hf.errors import printable
from ast2hf.render import data_set
from ast2hf.render.rows import rows
from ast2hf.results import Evaluation, Report

_WIDTH = 110
"""Columns if the output is not a terminal."""

_LONG = 400

_STYLES = {"passed": "green", "failed": "bold red", "not checked": "yellow", "not applicable": "dim"}


def show(report: Report, lines: Iterable[tuple[str, str]], verdict: str | None = None) -> None:
    """Print the checks to stdout, the best labels of the clip, the figures over a data set, and below them ``lines``:
    name and text.

    ``verdict``: shown in the title in place of the report's status, for instance for a dry run. Raises OSError.
    """
    _print(report, lines, verdict or report.status, labels=True)


def show_failure(report: Report, lines: Iterable[tuple[str, str]]) -> None:
    """Print to stdout how far the proof got: the checks, the notes, and ``lines``. Raises OSError."""
    _print(report, [*_notes(report), *lines], report.status, labels=False)


def about(report: Report) -> Iterator[tuple[str, str]]:
    """The lines that a report has itself."""
    size = report.source["bytes"]
    yield "source", str(report.source["uri"]) + ("" if size is None else f" ({size:,} bytes)")
    yield "sha256", str(report.source["sha256"])
    yield "device", f"{report.device}, {report.dtype}"
    yield from _notes(report)
    if report.timings_s:
        yield "seconds", ", ".join(f"{name} {seconds:.2f}" for name, seconds in report.timings_s.items())


def _notes(report: Report) -> Iterator[tuple[str, str]]:
    return (("note", note) for note in report.notes)


def _print(report: Report, lines: Iterable[tuple[str, str]], verdict: str, labels: bool) -> None:
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_checks(report, verdict))
    if labels and report.top5:
        console.print(_labels(report))
    if report.evaluation:
        console.print(_figures(report.evaluation))
        lines = [*_of_data_set(report.evaluation), *lines]
    for name, text in lines:
        console.print(Text(f"{name:<10} {printable(text, _LONG)}"), soft_wrap=True)


def _checks(report: Report, verdict: str) -> Table:
    table = Table(title=Text(f"{printable(report.model)}: {verdict}", style="bold"), title_justify="left")
    for column in ("check", "measured", "tolerance", ""):
        table.add_column(column, overflow="fold")
    for row in rows(report):
        texts = (Text(printable(text, _LONG)) for text in (row.check, row.measured, row.tolerance))
        table.add_row(*texts, Text(row.status, style=_STYLES[row.status]))
    return table


def _of_data_set(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    yield from data_set.summary(evaluation)
    if evaluation.skipped:
        yield "skipped", data_set.skipped(evaluation)
    yield "speed", data_set.speed(evaluation)
    for remark in data_set.remarks(evaluation):
        yield "note", remark


def _figures(evaluation: Evaluation) -> Table:
    table = Table(title=Text(f"On {printable(data_set.clips(evaluation))}", style="italic"), title_justify="left")
    table.add_column("figure")
    for column in ("original", "converted", "difference"):
        table.add_column(column, justify="right")
    for row in data_set.rows(evaluation):
        table.add_row(*row)
    return table


def _labels(report: Report) -> Table:
    title = Text(f"Best labels of the clip ({printable(report.clip)})", style="italic")
    table = Table(title=title, title_justify="left")
    table.add_column("label")
    table.add_column("original", justify="right")
    table.add_column("converted", justify="right")
    for row in report.top5:
        table.add_row(Text(printable(row.label, 60)), f"{row.original:.4f}", f"{row.converted:.4f}")
    return table
