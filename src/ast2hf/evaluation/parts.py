"""The parts of a data set: the logits of both models for the clips of each, kept on disk once a part is done.

A part is a fixed range of clips, however the work is shared. So an interrupted run continues where it stopped, the
shards of a sweep find each other's parts, and their figures equal those of a single process bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ast2hf.errors import OutputError, printable
from ast2hf.evaluation.listing import unique
from ast2hf.local_files import read_file, write_atomically

PART_CLIPS = 64
"""Clips of a part: what an interruption loses at most, and the unit that shards share. It affects the last bits of
logits."""

_MAX_PART = 1 << 30
"""Bytes of a part's file. With 527 classes it has 300 KB."""

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """One clip of a part. ``labels``: its true classes; ``sha256``: of its content, empty if it cannot be read.

    ``skipped``: why it could not be used; None if it was. ``changes``: what was done to it before.
    """

    name: str
    labels: tuple[int, ...]
    sha256: str
    skipped: str | None = None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """All clips of a part, and the logits of those that could be read, in the same order.

    ``logits``: by what computed them, float32 of shape (heard, labels). ``computed``: the hardware, in words.
    """

    clips: tuple[Clip, ...]
    logits: Mapping[str, Logits]
    computed: str


@dataclass(frozen=True)
class Merged:
    """All parts as one. ``truth``: bool of shape (heard, labels), like the logits. ``places``: of these clips.

    ``changes``: how many clips each was done to.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    logits: Mapping[str, Logits]
    truth: NDArray[np.bool_]
    skipped: Mapping[str, str]
    digest: str
    computed: frozenset[str]
    changes: Mapping[str, int]


@dataclass(frozen=True)
class Parts:
    """The parts of one data set under one procedure. ``folder``: only for these. ``givers``: what computes logits."""

    folder: Path
    clips: int
    labels: int
    givers: tuple[str, ...]

    def __len__(self) -> int:
        return -(-self.clips // PART_CLIPS)

    def places(self, number: int) -> range:
        """The places of a part's clips in the data set."""
        return range(number * PART_CLIPS, min(self.clips, (number + 1) * PART_CLIPS))

    def read(self, number: int) -> Part | None:
        """A finished part; None if it is missing or its file is damaged."""
        try:
            with np.load(io.BytesIO(read_file(self._path(number), _MAX_PART)), allow_pickle=False) as file:
                about = json.loads(file["about"].tobytes())
                logits = {giver: file[giver] for giver in self.givers}
            clips = tuple(
                Clip(name, tuple(labels), sha, why, tuple(changes))
                for name, labels, sha, why, changes in about["clips"]
            )
            heard = sum(clip.skipped is None for clip in clips)
            fits = all(own.shape == (heard, self.labels) and own.dtype == np.float32 for own in logits.values())
            if fits and len(clips) == len(self.places(number)):
                return Part(clips, logits, str(about["computed"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile):
            pass
        return None

    def write(self, number: int, part: Part) -> None:
        """Save a part. Raises OutputError; finished parts are kept."""
        clips = [[clip.name, clip.labels, clip.sha256, clip.skipped, clip.changes] for clip in part.clips]
        about = json.dumps({"clips": clips, "computed": part.computed}).encode()
        arrays: dict[str, Any] = {"about": np.frombuffer(about, np.uint8), **part.logits}
        content = io.BytesIO()
        np.savez(content, **arrays)
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(number), content.getvalue())

    def done(self) -> list[int]:
        """The numbers of the finished parts."""
        return [number for number in range(len(self)) if self.read(number) is not None]

    def clip(self, place: int) -> Clip:
        """The clip at ``place`` in the data set, of a part that is done."""
        part = self.read(place // PART_CLIPS)
        assert part is not None, place
        return part.clips[place % PART_CLIPS]

    @contextmanager
    def merged(self) -> Iterator[Merged]:
        """All parts, which must be done. The arrays are in files: only names take memory that grows with the clips."""
        names: list[str] = []
        places: list[int] = []
        unheard: dict[int, str] = {}
        computed: set[str] = set()
        changes: Counter[str] = Counter()
        digest = hashlib.sha256()
        with ExitStack() as stack:
            # Closing a file writes what is left of it, so on a full disk that fails, too, with the same error.
            with self._writing(), ExitStack() as filling:
                files = {  # unnamed: they vanish however the process ends
                    name: filling.enter_context(tempfile.TemporaryFile(dir=self.folder))
                    for name in (*self.givers, "truth")
                }
                for number in range(len(self)):
                    part = self.read(number)
                    assert part is not None, number
                    computed.add(part.computed)
                    truth = []
                    for place, clip in zip(self.places(number), part.clips, strict=True):
                        digest.update(json.dumps([clip.name, clip.labels, clip.sha256]).encode() + b"\n")
                        names.append(clip.name)
                        if clip.skipped is not None:
                            unheard[place] = clip.skipped
                            continue
                        changes.update(clip.changes)
                        places.append(place)
                        truth.append(_row(clip.labels, self.labels))
                    files["truth"].write(b"".join(row.tobytes() for row in truth))
                    for giver, logits in part.logits.items():
                        files[giver].write(logits.tobytes())
                for file in files.values():
                    file.flush()
                stack.push(filling.pop_all())
            shape = (len(places), self.labels)
            names = unique(names)  # those of a stream may not be
            skipped = {names[place]: why for place, why in unheard.items()}
            yield Merged(
                tuple(names[place] for place in places), tuple(places),
                {giver: _mapped(files[giver], np.float32, shape) for giver in self.givers},
                _mapped(files["truth"], np.bool_, shape), skipped, digest.hexdigest(), frozenset(computed),
                changes,
            )  # fmt: skip

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.npz"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"parts of the data set cannot be saved in {printable(self.folder)} ({error.strerror or error})",
                "free some space, or set paths.cache=… to another disk, and run it again: finished parts are kept",
            ) from error


def _row(labels: Sequence[int], count: int) -> NDArray[np.bool_]:
    row = np.zeros(count, np.bool_)
    row[list(labels)] = True
    return row


def _mapped(file: IO[bytes], dtype: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """The array in ``file``; an empty one cannot be mapped."""
    return np.memmap(file, dtype, "r", shape=shape) if shape[0] else np.empty(shape, dtype)
