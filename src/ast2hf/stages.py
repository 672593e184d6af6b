"""The stages of a run: timed, and shown on the terminal while they last."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

_CLEAR_LINE = "\r\033[K"


class Stage:
    """A stage in progress; ``progress`` draws a bar where the terminal can show one."""

    def __init__(self, text: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

        console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False),
            BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True,
        ) if text.startswith("Download") else Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), console=console, transient=True,
        )  # fmt: skip
        self._bars.disable = not console.is_terminal
        self._task = self._bars.add_task(text, total=None)

    def progress(self, done: int, total: int | None) -> None:
        self._bars.update(self._task, completed=done, total=total)

    def __enter__(self) -> Stage:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


class Stages:
    """Seconds by name of stage. A name that comes again adds to its seconds."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, text: str) -> Iterator[Stage]:
        """Time a stage and show ``text`` while it lasts, with its seconds afterwards."""
        start = time.perf_counter()
        with Stage(text) as stage, self.quiet(name):
            yield stage
        seconds = time.perf_counter() - start
        log.info("%s: %.2f s", text, seconds)
        print(f"{text:<60} {seconds:6.2f} s", file=sys.stderr, flush=True)

    @contextmanager
    def quiet(self, name: str) -> Iterator[None]:
        """Time something that needs no line of its own."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def seconds(self) -> dict[str, float]:
        return {**self._seconds, "total": time.perf_counter() - self._start}
