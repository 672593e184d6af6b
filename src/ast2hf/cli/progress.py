"""The stages of a run on the terminal: a spinner during each, then a line with its duration."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ast2hf.cli import process
from ast2hf.progress import BYTES, Progress, Stage

if TYPE_CHECKING:
    from rich.progress import Progress as Display

log = logging.getLogger(__name__)

LOG_INTERVAL = 10.0
"""Seconds between log lines about the progress of a stage, the only trace of it without a terminal."""


class _Spinner(Stage):
    """A spinner; with ``bar``, also the progress. Shown only if stderr is a terminal and no inner stage is shown."""

    def __init__(self, text: str, bar: str | None) -> None:
        self._text, self._bar = text, bar
        self._logged = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._display = _display(bar) if sys.stderr is not None and sys.stderr.isatty() else None
        self._task = None if self._display is None else self._display.add_task(text, total=None, rate="")

    def progress(self, done: int, total: int | None) -> None:
        rate = "" if self._bar == BYTES else self._rate(done, total)
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=done, total=total, rate=rate)
        if rate and time.monotonic() - self._logged >= LOG_INTERVAL:
            self._logged = time.monotonic()
            log.info("%s: %d of %s, %s", self._text, done, total, rate)

    def _rate(self, done: int, total: int | None) -> str:
        """The rate and the time left; what was done before this run does not count."""
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        before, start = self._first
        if done == before or total is None:
            return ""
        each = (now - start) / (done - before)
        return f"{1 / each:.3g} {self._bar}/s, {_clock((total - done) * each)} left"

    def show(self) -> None:
        if self._display is not None:
            self._display.start()

    def hide(self) -> None:
        if self._display is not None:
            self._display.stop()


def _display(bar: str | None) -> Display:
    """The display of a stage on a terminal. Without a terminal, rich is not imported."""
    from rich import progress
    from rich.console import Console

    columns: list[progress.ProgressColumn] = [
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
    ]
    if bar == BYTES:
        columns += [progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn()]
    elif bar is not None:
        columns += [progress.BarColumn(), progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[rate]}")]
    return progress.Progress(*columns, console=Console(stderr=True), transient=True)


def _clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class TerminalProgress(Progress):
    """Times the stages and shows them on stderr and in the log; of stages inside each other, the innermost.

    ``beside_proof``: modules that are needed after the proof; imported in the background while it computes.
    """

    def __init__(self, beside_proof: Sequence[str] = ()) -> None:
        super().__init__()
        self._beside_proof = beside_proof
        self._shown: list[_Spinner] = []

    @contextmanager
    def importing(self, text: str) -> Iterator[None]:
        with process.without_garbage_collection(), process.without_scipy(), super().importing(text):
            yield

    @contextmanager
    def __call__(self, name: str, text: str, bar: str | None = None) -> Iterator[Stage]:
        start = time.perf_counter()
        if name == "verify":
            process.log_threads()
            process.import_in_background(self._beside_proof)
        with self._showing(_Spinner(text, bar)) as stage, self.quiet(name):
            yield stage
        seconds = time.perf_counter() - start
        log.info("%s: %.2f s", text, seconds)
        print(f"{text:<60} {seconds:6.2f} s", file=sys.stderr, flush=True)

    @contextmanager
    def _showing(self, spinner: _Spinner) -> Iterator[_Spinner]:
        """In the place of the one around it: a terminal shows one at a time."""
        for outer in self._shown[-1:]:
            outer.hide()
        self._shown.append(spinner)
        spinner.show()
        try:
            yield spinner
        finally:
            spinner.hide()
            self._shown.pop()
            for outer in self._shown[-1:]:
                outer.show()
