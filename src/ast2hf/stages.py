"""The stages of a run: timed, and shown on the terminal while they last."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Stage:
    """A stage in progress: on a terminal a spinner, with ``bar`` also the bytes that :meth:`progress` is told."""

    def __init__(self, text: str, bar: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            ProgressColumn,
            SpinnerColumn,
            TextColumn,
            TransferSpeedColumn,
        )

        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        if bar:
            columns += [BarColumn(), DownloadColumn(), TransferSpeedColumn()]
        console = Console(stderr=True)
        self._display = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._display.add_task(text, total=None)

    def progress(self, done: int, total: int | None) -> None:
        self._display.update(self._task, completed=done, total=total)

    def __enter__(self) -> Stage:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()


class Stages:
    """Seconds by name of stage. A name that comes again adds to its seconds."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, text: str, bar: bool = False) -> Iterator[Stage]:
        """Time a stage and show ``text`` while it lasts, with its seconds afterwards."""
        start = time.perf_counter()
        with Stage(text, bar) as stage, self.quiet(name):
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
