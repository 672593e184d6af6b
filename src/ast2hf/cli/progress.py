"""The stages of a run on the terminal: a spinner while one lasts, and a line with its seconds afterwards."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from ast2hf.cli import process
from ast2hf.progress import Progress, Stage

log = logging.getLogger(__name__)


class _Spinner(Stage):
    """With ``bar``, also how many bytes are done. Shown only where stderr is a terminal."""

    def __init__(self, text: str, bar: bool) -> None:
        from rich import progress
        from rich.console import Console

        columns: list[progress.ProgressColumn] = [
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False),
        ]
        if bar:
            columns += [progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn()]
        console = Console(stderr=True)
        self._display = progress.Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._display.add_task(text, total=None)

    def progress(self, done: int, total: int | None) -> None:
        self._display.update(self._task, completed=done, total=total)

    def __enter__(self) -> _Spinner:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()


class TerminalProgress(Progress):
    """Times the stages and shows them on stderr and in the log.

    ``beside_proof``: modules that are needed after the proof, and are imported while it computes.
    """

    def __init__(self, beside_proof: Sequence[str] = ()) -> None:
        super().__init__()
        self._beside_proof = beside_proof

    @contextmanager
    def importing(self, text: str) -> Iterator[None]:
        with process.without_garbage_collection(), process.without_scipy(), super().importing(text):
            yield

    @contextmanager
    def __call__(self, name: str, text: str, bar: bool = False) -> Iterator[Stage]:
        start = time.perf_counter()
        if name == "verify":
            process.log_threads()
            process.import_in_background(self._beside_proof)
        # Where nobody looks, rich is not imported either.
        watched = sys.stderr is not None and sys.stderr.isatty()
        with _Spinner(text, bar) if watched else nullcontext(Stage()) as stage, self.quiet(name):
            yield stage
        seconds = time.perf_counter() - start
        log.info("%s: %.2f s", text, seconds)
        print(f"{text:<60} {seconds:6.2f} s", file=sys.stderr, flush=True)
