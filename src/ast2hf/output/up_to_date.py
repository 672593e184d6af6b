"""Decide from the hashes in its report whether a published folder is already up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ast2hf.formats.huggingface.names import ALL_MODEL_FILES, MODEL_FILES, PROCESSOR, REPORT
from ast2hf.local_files import open_file, read_file

_MAX_REPORT = 64 << 20
"""Bytes. A report for 527 classes has 20 KB."""


def file_hashes(folder: Path, names: Collection[str]) -> dict[str, str]:
    """SHA-256 of each of the files ``names`` in ``folder``. Raises OSError if one is missing."""
    found = {}
    for name in names:
        with open_file(folder / name) as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def model_files(folder: Path) -> tuple[str, ...]:
    """The files of the model in the published ``folder``, according to its report: not every model has every file.

    Without a report, those of a model with a feature extractor. Unknown names in a report are ignored.
    """
    try:
        hashes = json.loads(read_file(folder / REPORT, _MAX_REPORT))["files"]
        return tuple(name for name in ALL_MODEL_FILES if name in hashes) or MODEL_FILES
    except (OSError, ValueError, KeyError, TypeError):
        return MODEL_FILES


def is_synthetic(folder: Path) -> bool:
    """Whether the published ``folder`` was made of synthetic weights, according to its report."""
    try:
        source = json.loads(read_file(folder / REPORT, _MAX_REPORT))["source"]["uri"]
        return str(source).startswith("synthetic:")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def configuration_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of ``settings``, regardless of the order of their keys, and of the package's code."""
    return hashlib.sha256(json.dumps([settings, _code_hash()], sort_keys=True).encode()).hexdigest()


@cache
def _code_hash() -> str:
    """Hash of the package's own modules, because its version does not change when they are edited in a clone."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def read_if_current(
    folder: Path, source: str, configuration: str, names: Collection[str]
) -> tuple[dict[str, Any] | None, str]:
    """The report of ``folder`` if it is up to date; else None, and why not.

    ``source`` and ``configuration``: the hashes that it should have; ``names``: the files of the model.
    """
    try:
        report = json.loads(read_file(folder / REPORT, _MAX_REPORT))
        if report["status"] != "passed":
            return None, "it was not proved"
        if report["source"]["sha256"] != source:
            return None, "it was made from another checkpoint"
        if report["configuration_sha256"] != configuration:
            return None, "it was made with another configuration or version"
        if report["files"] != file_hashes(folder, names):
            return None, "its files have changed"
        if found := [name for name in (*ALL_MODEL_FILES, PROCESSOR) if name not in names and (folder / name).exists()]:
            return None, f"it has {found[0]}, which it was not written with"  # transformers may prefer it
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, "it has no readable report"
    return report, ""
