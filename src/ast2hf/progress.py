"""How long each stage of a run takes. The command line also shows it: :mod:`ast2hf.cli.progress`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stage:
    """A stage in progress."""

    def progress(self, done: int, total: int | None) -> None:
        """Called with the number of bytes done so far, and of all bytes where that is known."""


class Progress:
    """Times the stages of a run and prints nothing."""

    def __init__(self) -> None:
        self.started = time.time()
        """Seconds since the epoch."""
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, text: str, bar: bool = False) -> Iterator[Stage]:
        """Time a stage. ``text`` describes it to a person; ``bar``: it reports bytes through :meth:`Stage.progress`."""
        with self.quiet(name):
            yield Stage()

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
        """By name of stage, and in total so far. A name that comes again adds to its seconds."""
        return {**self._seconds, "total": time.perf_counter() - self._start}
