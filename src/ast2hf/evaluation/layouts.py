"""Data sets in the layouts that are common on disk: ESC-50, Speech Commands, AudioSet."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ast2hf import local_files
from ast2hf.config import Data
from ast2hf.errors import InputError, printable
from ast2hf.evaluation import lists
from ast2hf.evaluation.listing import Listed, Row, listed, ytid
from ast2hf.evaluation.matching import Matcher

_ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
"""File name endings of clips, the most likely first."""

_SEGMENTS = ["YTID", "start_seconds", "end_seconds", "positive_labels"]
"""The columns of AudioSet's lists of segments, which name them only in a comment."""

_LISTS = {"testing": "testing_list.txt", "validation": "validation_list.txt"}
"""The splits for which Speech Commands has a list."""


def esc50(data: Data, matcher: Matcher) -> Listed:
    """``audio/*.wav`` by ``meta/esc50.csv``; ``data.split`` is a fold, 1 to 5, None for all. Raises InputError."""
    root = _folder(data)
    remedy = "set data.path=ESC-50-master, the folder that contains meta and audio"
    rows = list(lists.csv_rows(lists.read_text(root / "meta" / "esc50.csv", "list of clips", remedy), "esc50.csv"))
    missing = [c for c in ("filename", "fold", "category") if rows and c not in rows[0][1]]
    if missing:
        raise InputError(f"esc50.csv has no column {missing[0]}", remedy)
    folds = sorted({row["fold"] for _, row in rows})
    if data.split is not None and data.split not in folds:
        raise InputError(
            f"the data set ESC-50 has no fold {printable(data.split, 30)}",
            f"set data.split to one of: {', '.join(folds)}",
        )
    chosen = [
        Row(root / "audio" / row["filename"], [row["category"]]) for _, row in rows if data.split in (None, row["fold"])
    ]
    return listed("ESC-50" if data.split is None else f"ESC-50, fold {data.split}", root, chosen, data, matcher)


def speech_commands(data: Data, matcher: Matcher) -> Listed:
    """The ``WORD/*.wav`` in the list of ``data.split``, testing or validation. Raises InputError."""
    root = _folder(data)
    if data.split not in _LISTS:
        said = "needs a split" if data.split is None else f"has no split {printable(data.split, 30)} with a list"
        raise InputError(f"the data set Speech Commands {said}", "set data.split=testing or data.split=validation")
    remedy = "use the folder of Speech Commands, with testing_list.txt and a folder for each word"
    names = list(lists.lines(lists.read_text(root / _LISTS[data.split], "list of clips", remedy)))
    stray = next((name for name in names if "/" not in name), None)
    if stray is not None:
        raise InputError(
            f"{_LISTS[data.split]} has {printable(stray, 60)}, which is not in the folder of a word", remedy
        )
    rows = [Row(root / name, [name.split("/")[-2]]) for name in names]
    return listed(f"Speech Commands, {data.split}", root, rows, data, matcher)


def audioset(data: Data, matcher: Matcher) -> Listed:
    """The clips in a list of segments, anywhere below ``data.path``, under the names that common tools use.

    ``data.path``: the folder, or the list in it. ``data.split``: the beginning of the list's name, such as eval, if
    there are several. A clip that is in the list but not in the folder counts as one that cannot be read.
    Raises InputError.
    """
    assert data.path is not None
    path = local_files.expand(data.path)
    listing = path if path.suffix == ".csv" else _segments(_folder(data), data.split)
    root = listing.parent
    text = lists.read_text(listing, "list of segments", "set data.path to the folder that contains eval_segments.csv")
    # Without its header, which is a comment; the lines are kept, so that errors name the right ones.
    body = "\n".join("" if line.startswith(("#", _SEGMENTS[0])) else line for line in text.split("\n"))
    clips = _clips(root)
    if not clips:
        raise InputError(
            f"there are no clips of AudioSet in or below the folder of {printable(listing.name)}",
            f"name them after the ids of their videos, as in ID.wav or YID.wav ({', '.join(_ENDINGS)})",
        )
    rows = []
    for place, row in lists.csv_rows(body, listing.name, _SEGMENTS):
        name, labels = row["YTID"].strip(), row["positive_labels"]
        rows.append(Row(_find(clips.get(name, ()), row["start_seconds"], place) or root / f"{name}.wav", labels))
    return listed(listing.stem, root, rows, data, matcher)


def _folder(data: Data) -> Path:
    assert data.path is not None
    path = local_files.expand(data.path)
    if not local_files.is_folder(path):
        raise InputError(f"data.path {printable(path)} is not a folder", f"use the folder of {data.kind}")
    return path


def _segments(folder: Path, split: str | None) -> Path:
    """The list of segments in ``folder``. Raises InputError if there is none, or if ``split`` leaves several."""
    found = sorted(folder.glob("*segments*.csv"))
    chosen = [path for path in found if split is None or path.name.startswith(split)]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        said = f", but {', '.join(printable(p.name, 40) for p in found)}" if found else ""
        wanted = f"{split}_segments.csv" if split is not None else "list of segments, such as eval_segments.csv"
        raise InputError(f"data.path has no {printable(wanted, 60)}{said}", "use the folder that contains the list")
    names = ", ".join(printable(path.name, 40) for path in chosen)
    raise InputError(
        f"data.path has several lists of segments: {names}", "choose one, for example with data.split=eval"
    )


def _clips(root: Path) -> dict[str, list[Path]]:
    """The sound files below ``root`` by the id of their video, in a fixed order."""
    found: dict[str, list[Path]] = {}
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(folder)) in seen:  # a link back to a parent folder
            folders.clear()
            continue
        seen.add(real)
        for name in files:
            stem, ending = os.path.splitext(name)  # noqa: PTH122  two million times
            if ending.lower() in _ENDINGS and (known := ytid(stem)):
                found.setdefault(known[0], []).append(Path(folder, name))
    return found


def _find(paths: Iterable[Path], start: str, place: str) -> Path | None:
    """The clip among those of one video whose name says that it begins at ``start`` seconds; otherwise the first."""
    try:
        seconds = float(start)
    except ValueError:
        raise InputError(f"{place}: {printable(start, 30)} is not a time in seconds", "correct the line") from None

    def order(path: Path) -> tuple[bool, int, str]:
        known = ytid(path.stem)
        begins = known is not None and known[1][:1] in ((seconds,), (1000 * seconds,))
        return not begins, _ENDINGS.index(path.suffix.lower()), str(path)

    return min(paths, key=order, default=None)
