"""A data set whose clips are files in a list: their names, the choice among them, and their classes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ast2hf import local_files
from ast2hf.config import Data
from ast2hf.errors import InputError, printable
from ast2hf.evaluation import lists
from ast2hf.evaluation.matching import Field, Matcher
from ast2hf.evaluation.source import Example

_YTID = re.compile(r"(?:Y|yt_)?([\w-]{11})((?:[_-]\d+(?:\.\d+)?){0,2})")
"""How tools that download AudioSet name a clip: the id of the video, perhaps followed by the start and the end of the
segment (in s or ms), and perhaps after a letter, so that no name begins with a dash."""


@dataclass(frozen=True)
class Row:
    """A clip as the data set lists it."""

    audio: Path
    labels: Field


@dataclass(frozen=True)
class Listed:
    """A :class:`~ast2hf.evaluation.source.Source` whose clips are files."""

    name: str
    fingerprint: str
    notes: tuple[str, ...]
    clips: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def examples(self, start: int, stop: int) -> Iterator[Example]:
        yield from self.clips[start:stop]


def listed(
    name: str, root: Path, rows: Sequence[Row], data: Data, matcher: Matcher, notes: Sequence[str] = ()
) -> Listed:
    """The data set ``name`` of ``rows``, whose names are relative to ``root``.

    Raises InputError for a set without clips or labels, for labels that the model does not have, and if none of the
    clips exists. If only some are missing, that shows when they are read.
    """
    given = [relative(row.audio, root) for row in rows]
    chosen, said = choose(given, data.ids, name)
    found = [matcher.find(rows[place].labels) for place in chosen]
    matcher.require_all(name)
    said += [*unlabelled(found, name), *twice([rows[place].audio for place in chosen]), *matcher.notes]
    names = unique([given[place] for place in chosen])
    clips = tuple(Example(n, f, rows[place].audio) for n, f, place in zip(names, found, chosen, strict=True))
    states = [file_state(rows[place].audio) for place in chosen]
    if not any(states):
        raise InputError(
            # Between quotation marks a path is known to be one, spaces and all: records have its last name alone.
            f"none of the clips of {printable(name)} exists, for example '{printable(rows[chosen[0]].audio)}'",
            "correct the paths, or put the clips there",
        )
    return Listed(printable(name), _fingerprint(clips, states), (*notes, *said), clips)


def relative(path: Path, root: Path) -> str:
    """The name of ``path`` for reports: below ``root`` the path from there, elsewhere only its last part."""
    whole, base = (PurePath(os.path.abspath(p)) for p in (path, root))  # noqa: PTH100  links are not followed
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else whole.name


def unique(names: Sequence[str]) -> list[str]:
    """``names`` in printable form; a repeated one is followed by (2), (3), …"""
    taken: set[str] = set()
    last: Counter[str] = Counter()
    found = []
    for name in map(printable, names):
        shown = name
        while shown in taken:
            last[name] += 1
            shown = f"{name} ({last[name] + 1})"
        taken.add(shown)
        found.append(shown)
    return found


def choose(names: Sequence[str], ids: str | None, data_set: str) -> tuple[list[int], list[str]]:
    """The places of the names in the file ``ids`` (``data.ids``), or of all names without one, and remarks.

    A line is the name of a clip as in the data set, its file name with or without the ending, or the id of its video.
    Raises InputError if nothing is left.
    """
    if not names:
        raise InputError(f"{printable(data_set)} has no clips", "use a data set with clips")
    if ids is None:
        return list(range(len(names))), []
    path = local_files.expand(ids)
    wanted = set(
        lists.lines(lists.read_text(path, "list of names", "set data.ids=PATH to a text file with one name per line"))
    )
    places, met = [], set()
    for place, name in enumerate(names):
        if hits := wanted & _keys(name):
            places.append(place)
            met |= hits
    shown = printable(path.name)
    if not places:
        first = printable(names[0], 60)
        raise InputError(
            f"none of the names in {shown} belongs to a clip of {printable(data_set)}, such as {first}",
            "write the names of clips into it, one per line",
        )
    said = [f"{len(places):,} of {len(names):,} clips are used, those in {shown}"]
    if left := len(wanted - met):
        said.append(f"{left:,} of the {len(wanted):,} names in {shown} do not belong to any clip of the data set")
    return places, said


def ytid(stem: str) -> tuple[str, tuple[float, ...]] | None:
    """The id of the video and the times in the name of a clip of AudioSet; None for any other name."""
    match = _YTID.fullmatch(stem)
    return match and (match[1], tuple(float(t) for t in re.findall(r"\d+(?:\.\d+)?", match[2])))


def _keys(name: str) -> set[str]:
    """What a line of ``data.ids`` may call the clip ``name``."""
    path = PurePath(name)
    found = ytid(path.stem)
    return {name, path.name, path.stem, *([found[0], f"Y{found[0]}"] if found else [])}


def unlabelled(found: Sequence[tuple[int, ...]], name: str) -> list[str]:
    """A remark on clips without a label. Raises InputError if no clip has one."""
    without = sum(not classes for classes in found)
    if without == len(found):
        raise InputError(f"no clip of {printable(name)} has a label", "use a data set with labels")
    return [f"{without:,} {'clip has' if without == 1 else 'clips have'} no label"] if without else []


def twice(paths: Sequence[object]) -> list[str]:
    """A remark on clips that are listed more than once."""
    again = len(paths) - len(set(paths))
    if again == 1:
        return ["1 clip is repeated in the list, and counts again"]
    return [f"{again:,} clips are repeated in the list, and count again"] if again else []


def _fingerprint(clips: Sequence[Example], states: Sequence[Sequence[int]]) -> str:
    digest = hashlib.sha256()
    for clip, state in zip(clips, states, strict=True):
        digest.update(json.dumps([clip.name, clip.labels, *state]).encode())
    return digest.hexdigest()


def file_state(path: Path) -> tuple[int, int] | tuple[()]:
    """Size in bytes and time of the last change in ns; empty if there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return ()
    return found.st_size, found.st_mtime_ns
