"""Data sets that the datasets library loads: folders of audio files, Parquet with embedded audio, the Hub."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ast2hf.config import Data
from ast2hf.errors import InputError, printable
from ast2hf.evaluation import hub_place
from ast2hf.evaluation.hub_columns import Columns
from ast2hf.evaluation.hub_place import Place
from ast2hf.evaluation.listing import choose, file_state, relative, unique, unlabelled
from ast2hf.evaluation.matching import Matcher
from ast2hf.evaluation.source import Example

_BATCH = 1000
"""Rows whose names and labels are read at a time."""


def source(data: Data, matcher: Matcher) -> Loaded | Streamed:
    """The data set ``data.path``, a folder or one on the Hub (see :class:`~ast2hf.evaluation.hub_place.Place`).

    Raises InputError, DownloadError.
    """
    where = Place(data)
    with where.errors():
        builder = hub_place.builder(where)
        if data.streaming:
            return _streamed(where, builder, matcher)
        from datasets import disable_progress_bars, enable_progress_bars
        from datasets.utils import are_progress_bars_disabled

        hidden = are_progress_bars_disabled()
        disable_progress_bars()
        try:
            builder.download_and_prepare()
        finally:
            if not hidden:
                enable_progress_bars()
        split = where.split(builder.info.splits or {})
        return _loaded(where, builder, builder.as_dataset(split=split), split, matcher)


class Loaded:
    """A :class:`~ast2hf.evaluation.source.Source` that is on this machine, in the library's cache or as files."""

    def __init__(self, name: str, fingerprint: str, notes: tuple[str, ...], rows: Any, column: str, clips: Any) -> None:
        self.name, self.fingerprint, self.notes = name, fingerprint, notes
        self._rows, self._column, self._clips = rows, column, clips

    def __len__(self) -> int:
        return len(self._clips)

    def examples(self, start: int, stop: int) -> Iterator[Example]:
        for place, name, labels in self._clips[start:stop]:
            yield Example(name, labels, _audio(self._rows[place][self._column]))


def _loaded(where: Place, builder: Any, rows: Any, split: str, matcher: Matcher) -> Loaded:
    columns = Columns(rows.features, where.name)
    rows = rows.select_columns([columns.audio, columns.labels]).cast_column(columns.audio, hub_place.encoded()())
    given: list[str] = []
    fields: list[Any] = []
    for table in rows.with_format("arrow").iter(batch_size=_BATCH):  # without copying the sounds
        sounds, labels = table.column(columns.audio).combine_chunks(), table.column(columns.labels)
        paths = sounds.field("path").to_pylist()
        given += [_name(path, where.root, split, len(given) + n) for n, path in enumerate(paths)]
        fields += labels.to_pylist()
    chosen, said = choose(given, where.data.ids, where.name)
    found = [matcher.find(columns.field(fields[place])) for place in chosen]
    matcher.require_all(where.name)
    notes = (_said(columns, where), *said, *unlabelled(found, where.name), *matcher.notes)
    names = unique([given[place] for place in chosen])
    clips = list(zip(chosen, names, found, strict=True))
    digest = _fingerprint(where, builder, split, [[name, labels] for _, name, labels in clips])
    return Loaded(f"{where.name}, {split}", digest, notes, rows, columns.audio, clips)


class Streamed:
    """A :class:`~ast2hf.evaluation.source.Source` whose clips are downloaded as they are used.

    ``examples`` is cheap if it continues where it ended; going back downloads everything before that place again.
    """

    def __init__(
        self, where: Place, split: str, fingerprint: str, rows: Any, columns: Columns, count: int, matcher: Matcher
    ) -> None:
        self.name, self.fingerprint = f"{where.name}, {split}", fingerprint
        self.notes = (_said(columns, where),)
        self._where, self._split, self._rows, self._columns = where, split, rows, columns
        self._count, self._matcher = count, matcher
        self._position: int = 0
        self._begin(0)

    def __len__(self) -> int:
        return self._count

    def examples(self, start: int, stop: int) -> Iterator[Example]:
        with self._where.errors():
            if start < self._position:
                self._close()
                self._begin(start)
            for row in islice(self._open, start - self._position, min(stop, self._count) - self._position):
                place = start
                start = self._position = start + 1
                yield self._example(row, place)
            if start < min(stop, self._count):
                raise InputError(
                    f"{self.name} ended after {start:,} of {self._count:,} clips",
                    "run it again without data.streaming",
                )

    def _begin(self, start: int) -> None:
        self._open: Generator[Any, None, None] = iter(self._rows.skip(start))
        self._position = start
        self._close: Callable[[], object] = weakref.finalize(
            self, self._open.close
        )  # at the end of the process, its threads are gone

    def _example(self, row: Mapping[str, Any], place: int) -> Example:
        sound = row[self._columns.audio]
        labels = self._matcher.find(self._columns.field(row[self._columns.labels]))
        self._matcher.require_all(self._where.name)
        name = _name(sound["path"], self._where.root, self._split, place)
        return Example(printable(name), labels, _audio(sound))


def _streamed(where: Place, builder: Any, matcher: Matcher) -> Streamed:
    if where.data.ids is not None:
        raise InputError("data.ids cannot be combined with data.streaming", "leave out data.streaming")
    split = where.split(builder.info.splits or dict.fromkeys(builder.config.data_files or {}))
    count = getattr((builder.info.splits or {}).get(split), "num_examples", None)
    if not count:
        raise InputError(f"{where.name} does not state its number of clips", "leave out data.streaming")
    rows = builder.as_streaming_dataset(split=split)
    columns = Columns(rows.features or {}, where.name)
    rows = rows.decode(False).select_columns([columns.audio, columns.labels])  # nor in threads of the library
    rows = rows.cast_column(columns.audio, hub_place.encoded()())
    digest = _fingerprint(where, builder, split, [count, matcher.known])  # the clips are not known yet
    return Streamed(where, split, digest, rows, columns, count, matcher)


def _audio(sound: Mapping[str, Any]) -> Path | bytes:
    """The content of a sound, or its file on this machine."""
    content, path = sound["bytes"], sound["path"]
    if content is not None:
        return bytes(content)
    if path and "://" in path:
        import fsspec  # type: ignore[import-untyped]

        with fsspec.open(path, "rb") as file:
            return file.read()  # type: ignore[no-any-return]
    return Path(path or "")


def _name(path: str | None, root: Path | None, split: str, place: int) -> str:
    if not path:
        return f"{split}[{place}]"
    return relative(Path(path), root) if root is not None else path.rpartition("/")[2]


def _said(columns: Columns, where: Place) -> str:
    return f"labels are taken from the column {printable(columns.labels, 40)} of {where.name}"


def _fingerprint(where: Place, builder: Any, split: str, clips: object) -> str:
    """A hash over what the library loads: the files of a folder, the commit of a data set on the Hub."""
    files: list[Any] = [builder.hash]
    if where.root is not None:
        found = sorted(path for path in where.root.rglob("*") if path.is_file())
        files = [[relative(path, where.root), *file_state(path)] for path in found]
    return hashlib.sha256(json.dumps([where.configuration, split, files, clips]).encode()).hexdigest()
