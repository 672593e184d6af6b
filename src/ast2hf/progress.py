"""The stages of a conversion, timed. This one shows nothing; the command has one that shows them on the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

BYTES, CLIPS = "bytes", "clips"


class Stage:
    """A stage in progress."""

    def progress(self, done: int, total: int | None) -> None:
        """``done`` of ``total``, in the unit of the bar; None if the total is unknown."""


class Progress:
    """Seconds by stage. A stage that is repeated adds to its seconds."""

    def __init__(self) -> None:
        self.started = time.time()
        """Seconds since the epoch."""
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, text: str, bar: str | None = None) -> Iterator[Stage]:
        """Time a stage that is shown to people. ``bar``: it reports its progress, in BYTES or CLIPS."""
        with self.quiet(name):
            yield Stage()

    @contextmanager
    def quiet(self, name: str) -> Iterator[None]:
        """Time something that is not shown."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    @contextmanager
    def importing(self, text: str) -> Iterator[None]:
        """Time the import of a large library; whoever owns the process may override it to prepare the import."""
        with self("import", text):
            yield

    @property
    def seconds(self) -> dict[str, float]:
        return {**self._seconds, "total": time.perf_counter() - self._start}
