"""Is a published folder already what would be made? Told by the hashes in its report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ast2hf.huggingface import folder, weights

HASHED = (weights.FILENAME, folder.CONFIG, folder.PREPROCESSOR)
"""The files that make the model; card and report tell of times and places, too."""


def hashes(path: Path) -> dict[str, str]:
    """SHA-256 of each file of the model in the folder ``path``. Raises OSError where one is missing."""
    found = {}
    for name in HASHED:
        with (path / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def configuration_hash(settings: dict[str, Any]) -> str:
    """SHA-256 of ``settings``, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def proved_before(path: Path, source: str, configuration: str) -> tuple[dict[str, Any] | None, str]:
    """The report of the folder ``path`` if it is what would be made; else None, and why not.

    ``source`` and ``configuration``: the hashes of what it would be made from.
    """
    try:
        report = json.loads((path / folder.REPORT).read_text(encoding="utf-8"))
        if report["status"] != "passed":
            return None, "it was not proved"
        if report["source"]["sha256"] != source:
            return None, "it was made from another checkpoint"
        if report["configuration_sha256"] != configuration:
            return None, "it was made with another configuration"
        if report["files"] != hashes(path):
            return None, "its files have changed"
    except (OSError, ValueError, KeyError, TypeError):
        return None, "it has no readable report"
    return report, ""
