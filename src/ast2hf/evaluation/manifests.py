"""Lists of clips that people keep: JSON as the authors' code reads it, JSON lines, CSV."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ast2hf import local_files
from ast2hf.config import Data
from ast2hf.errors import InputError, printable
from ast2hf.evaluation import lists
from ast2hf.evaluation.listing import Listed, Row, listed
from ast2hf.evaluation.matching import Matcher

PATHS = (
    "wav",
    "path",
    "file",
    "file_name",
    "filename",
    "filepath",
    "file_path",
    "audio",
    "audio_path",
    "audio_filepath",
    "fname",
)
"""Possible names of the path column; the first one present is used."""

LABELS = ("labels", "label", "category", "class", "classes", "class_name", "display_name", "genre", "target")
"""Possible names of the label column. ``target`` is usually an index of the data set, so it comes last."""

_REMEDY = "set data.path to a JSON, JSON lines or CSV file"

_Located = tuple[str, Mapping[str, Any]]


def source(data: Data, matcher: Matcher) -> Listed:
    """The clips of the manifest ``data.path``; their paths are relative to it. Raises InputError, with the line."""
    assert data.path is not None
    path = local_files.expand(data.path)
    text = lists.read_text(path, "manifest", _REMEDY)
    shown = printable(path.name)
    entries = list(_entries(text, path.name, shown))
    if not entries:
        raise InputError(f"{shown} has no clips", "use a manifest that lists clips")
    _, first = entries[0]
    paths, labels = column(first, PATHS, "paths", shown), column(first, LABELS, "labels", shown)
    rows = [_row(where, entry, paths, labels, path.parent) for where, entry in entries]
    return listed(path.name, path.parent, rows, data, matcher)


def column(names: Collection[str], known: tuple[str, ...], what: str, place: str) -> str:
    """The one of ``names`` that comes first in ``known``, ignoring case. Raises InputError."""
    by_key = {name.casefold(): name for name in reversed(list(names))}
    found = next((by_key[key] for key in known if key in by_key), None)
    if found is None:
        shown = ", ".join(printable(name, 30) for name in list(names)[:8])
        raise InputError(
            f"{place}: no column of {what} (columns: {shown or 'none'})", f"name it one of: {', '.join(known)}"
        )
    return found


def _row(place: str, entry: Mapping[str, Any], paths: str, labels: str, root: Path) -> Row:
    audio, field = entry.get(paths), entry.get(labels)
    if not isinstance(audio, str) or not audio.strip():
        raise InputError(f"{place}: {printable(paths, 30)} is not a path", "use the path of a clip")
    if labels not in entry or not is_field(field):
        raise InputError(
            f"{place}: {printable(labels, 30)} has no labels",
            "use a name, several names separated by commas, or a list",
        )
    return Row(root / local_files.expand(audio.strip()), field)


def is_field(value: object) -> bool:
    """Whether ``value`` is a :data:`~ast2hf.evaluation.matching.Field`."""
    one = (str, int)
    if isinstance(value, list):
        return all(isinstance(v, one) and not isinstance(v, bool) for v in value)
    return value is None or (isinstance(value, one) and not isinstance(value, bool))


def _entries(text: str, name: str, shown: str) -> Iterator[_Located]:
    """The place of each clip, as errors name it, and its entry."""
    if not text.strip():
        raise InputError(f"{shown} is empty", _REMEDY)
    if not text.lstrip().startswith(("{", "[")):
        return lists.csv_rows(text, name)
    return _line_entries(text, shown) if _has_lines(text, name) else _json_entries(text, shown)


def _has_lines(text: str, name: str) -> bool:
    """Whether each line is a separate JSON value: a clip, not the beginning of the authors' {"data": …}."""
    if name.lower().endswith((".jsonl", ".ndjson")):
        return True
    try:
        first = json.loads(text.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and not isinstance(first.get("data"), list)


def _line_entries(text: str, shown: str) -> Iterator[_Located]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{shown}, line {number}"
            yield place, _object(_parse(line, place, own_lines=False), place)


def _json_entries(text: str, shown: str) -> Iterator[_Located]:
    value = _parse(text, shown, own_lines=True)
    entries = value.get("data") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise InputError(f"{shown} has no list of clips", 'write it as {"data": [{"wav": PATH, "labels": LABELS}, …]}')
    for number, entry in enumerate(entries, 1):
        place = f"{shown}, entry {number}"
        yield place, _object(entry, place)


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place}: not a clip with its labels", 'write it as {"wav": PATH, "labels": LABELS}')
    return value


def _parse(text: str, place: str, *, own_lines: bool) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{place}, line {error.lineno}" if own_lines else place
        raise InputError(f"{where}: not valid JSON ({error.msg})", "correct the manifest") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets thousands deep
        raise InputError(f"{place}: not valid JSON", "correct the manifest") from None
