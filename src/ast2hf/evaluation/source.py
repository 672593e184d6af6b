"""A data set as the rest of the package sees it: clips with their classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Example:
    """One clip. ``name``: as reports show it, never a path of the machine. ``labels``: indices of the model's classes.

    ``audio``: a file, or the content of one; it is decoded in a worker process.
    """

    name: str
    labels: tuple[int, ...]
    audio: Path | bytes


class Source(Protocol):
    """A data set in a fixed order.

    ``fingerprint``: changes if names, labels or contents of the clips do, as far as that shows without reading them
    (sizes and times of files, a commit on the Hub). ``notes``: what was assumed about it, for the report.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def examples(self, start: int, stop: int) -> Iterator[Example]:
        """The clips of these places. Raises InputError, DownloadError."""
