"""Names of the classes, from a JSON, CSV or text file or the Hub, checked one by one."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ast2hf import hub_download, local_files
from ast2hf.config import Variant
from ast2hf.errors import InputError, invisible, printable

NONE = "none"

_INDEX_COLUMNS = ("index", "id")
_INDEX = re.compile(r"\s*[0-9]{1,9}\s*")
_NAME_COLUMNS = ("display_name", "label", "name")

_TEXT = ".txt"
"""The suffix of a file that may have one name per line. With another suffix it is taken for a CSV without a header."""

_JSON = re.compile(r'\s*(\{|\[\s*["\]])')
"""The beginning of JSON in a text file; ``[noise]`` may be a name."""

MAX_FILE = 64 << 20
"""Bytes. AudioSet's label file has 15 KB."""


@dataclass(frozen=True)
class Labels:
    """Names by class index; ``names`` is None for LABEL_0, LABEL_1, ...

    ``uri``: for a local file, only its name.
    """

    names: tuple[str, ...] | None
    uri: str

    def for_classes(self, count: int) -> tuple[str, ...]:
        """One name for each of ``count`` classes. Raises InputError if the file has a different number."""
        if self.names is None:
            return tuple(f"LABEL_{i}" for i in range(count))
        if len(self.names) != count:
            raise InputError(
                f"{printable(self.uri)} has {len(self.names)} labels, but the checkpoint has {count} classes",
                "set labels=PATH to the label file of the training, or labels=none",
            )
        return self.names


def load_labels(labels: str | None, variant: Variant) -> Labels:
    """``labels``: a path, ``none``, or None for the model's own file (without one, ``none``)."""
    if labels == NONE or (labels is None and variant.labels is None):
        return Labels(None, NONE)
    if labels is None:
        assert variant.labels is not None
        path = hub_download.fetch(variant.labels, "label file", "labels=PATH or labels=none")
        content = local_files.read(path, "label file", "set labels=PATH or labels=none", MAX_FILE)
        return Labels(parse(content, path.name), f"hf://datasets/{variant.labels.repo}/{variant.labels.filename}")
    content = local_files.read(
        labels, "label file", "set labels=PATH to a JSON, CSV or text file, or labels=none", MAX_FILE
    )
    return Labels(parse(content, labels), Path(labels).name)


def parse(content: bytes, name: str) -> tuple[str, ...]:
    """The names in order of their index. JSON: {"0": "Speech", …} or ["Speech", …]. CSV: with a header line that has
    ``index`` and ``display_name`` (the authors' class_labels_indices.csv; also ``id``, ``label``, ``name``).
    Text, if ``name`` ends in ``.txt``: one name per line; such a file may also hold JSON or CSV.
    """
    shown = printable(name)
    text = local_files.decoded(content, name, "save the label file as UTF-8")
    if not text.strip():
        raise InputError(f"{shown} is empty", "use a file with labels, or set labels=none")
    return _ordered(_entries(text, name, shown), shown)


def _entries(text: str, name: str, shown: str) -> Iterator[tuple[str, object, object]]:
    """Place, index and name of each class."""
    if not name.lower().endswith(_TEXT):
        return _json_entries(text, shown) if text.lstrip().startswith(("{", "[")) else _csv_entries(text, shown)
    if _JSON.match(text):
        return _json_entries(text, shown)
    header = text.partition("\n")[0].strip().split(",")
    if any(c in header for c in _INDEX_COLUMNS) and any(c in header for c in _NAME_COLUMNS):
        return _csv_entries(text, shown)
    return _line_entries(text)


def _line_entries(text: str) -> Iterator[tuple[str, object, object]]:
    """Every line is a name, even an empty one (which is refused later), except empty lines at the end of the file."""
    lines = re.split(r"\r\n|\n|\r", text.rstrip())  # splitlines() also splits at characters that no name may contain
    for index, line in enumerate(lines):
        yield f"line {index + 1}", index, line.strip(" ")


def _json_entries(text: str, shown: str) -> Iterator[tuple[str, object, object]]:
    try:
        value = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{shown}, line {error.lineno}: not valid JSON ({error.msg})", "correct the label file"
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets thousands deep
        raise InputError(f"{shown} is not a list of labels", "correct the label file") from None
    pairs = value if text.lstrip().startswith("{") else enumerate(value)
    for key, label in pairs:
        yield f"entry {printable(key, 40)}", key, label


def _csv_entries(text: str, shown: str) -> Iterator[tuple[str, object, object]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = reader.fieldnames or []
        index = next((c for c in _INDEX_COLUMNS if c in columns), None)
        label = next((c for c in _NAME_COLUMNS if c in columns), None)
        if index is None or label is None:
            raise InputError(
                f"{shown}, line 1: the header has no columns index and display_name",
                f"begin the file with index,display_name, or write one name per line in a {_TEXT} file",
            )
        for row in reader:
            if None in row:  # where DictReader puts surplus fields
                raise InputError(
                    f"{shown}, line {reader.line_num}: more fields than the header",
                    "put labels that contain a comma in double quotes",
                )
            yield f"line {reader.line_num}", row[index], row[label]
    except csv.Error as error:
        raise InputError(f"{shown}, line {reader.line_num + 1}: {error}", "correct the label file") from None


def _ordered(entries: Iterable[tuple[str, object, object]], shown: str) -> tuple[str, ...]:
    remedy = "correct the label file"
    names: dict[int, str] = {}
    places: dict[str, str] = {}
    for place, key, label in entries:
        if not _INDEX.fullmatch(str(key)):
            raise InputError(f"{shown}, {place}: {printable(repr(key), 40)} is not an index", remedy)
        index = int(str(key))
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"{shown}, {place}: the label is empty or not text", remedy)
        if what := invisible(label):
            raise InputError(f"{shown}, {place}: label {printable(label, 60)} has {what}", remedy)
        if index in names:
            raise InputError(f"{shown}, {place}: duplicate index {index}", remedy)
        if label in places:
            raise InputError(
                f"{shown}, {place}: duplicate label {printable(label, 60)} (first on {places[label]})", remedy
            )
        names[index] = label
        places[label] = place
    if not names:
        raise InputError(f"{shown} has no labels", remedy)
    gap = next((i for i in range(len(names)) if i not in names), None)
    if gap is not None:
        raise InputError(f"{shown}: index {gap} is missing among {len(names)} labels", "number the labels 0, 1, 2, …")
    return tuple(names[i] for i in range(len(names)))
