"""Files with one entry per row: manifests, tables of segments, names. Read as text, with line numbers for errors."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ast2hf import local_files
from ast2hf.errors import InputError, printable

MAX_FILE = 1 << 29
"""Bytes. A manifest of all two million clips of AudioSet has 0.3 GB."""


def read_text(path: Path, what: str, remedy: str) -> str:
    """The text of ``path``, UTF-8, or UTF-16 with a byte order mark. Raises InputError with ``what`` and ``remedy``."""
    return local_files.decoded(local_files.read(path, what, remedy, MAX_FILE), path.name, "save it as UTF-8")


def lines(text: str) -> Iterator[str]:
    """The non-empty lines, stripped of surrounding spaces."""
    for line in re.split(r"\r\n|\n|\r", text):
        if line.strip():
            yield line.strip()


def csv_rows(text: str, name: str, header: list[str] | None = None) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The place of each row, as errors name it, and its fields by column. ``header``: for a file without one.

    Raises InputError, with the line, if a row has more or fewer fields than columns.
    """
    shown = printable(name)
    reader = csv.DictReader(io.StringIO(text, newline=""), header, skipinitialspace=True)
    try:
        if reader.fieldnames is not None:
            reader.fieldnames = [column.strip() for column in reader.fieldnames]
        for row in reader:
            place = f"{shown}, line {reader.line_num}"
            if None in row:  # the key under which DictReader puts surplus fields
                raise InputError(
                    f"{place}: more fields than the header", "put labels that contain a comma in quotation marks"
                )
            if any(value is None for value in row.values()):
                raise InputError(f"{place}: fewer fields than the header", "correct the line")
            yield place, row
    except csv.Error as error:
        raise InputError(f"{shown}, line {reader.line_num + 1}: {error}", "correct the line") from None
