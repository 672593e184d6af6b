"""Writing the files of a model folder and of a run folder; where one cannot be written, the reason and a remedy."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ast2hf.errors import OutputError, printable

_NO_LOCKS = "give output_dir=… on a file system that has locks (on Lustre, the mount option flock)"
_REMEDIES = {
    errno.ENOSPC: "free some space, or write to another disk (output_dir=…, paths.outputs=…)",
    errno.EDQUOT: "free some of your quota, or write elsewhere (output_dir=…, paths.outputs=…)",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EEXIST: "give another output_dir=…, or overwrite=true to replace it",
    errno.ENOSYS: _NO_LOCKS,
    errno.ENOLCK: _NO_LOCKS,
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OutputError where ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """In UTF-8. Raises OutputError."""
    with writing(path):
        path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Sorted as given, so that the same input gives the same bytes. Raises OutputError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_error(path: Path, error: OSError) -> OutputError:
    """The error for ``path``, with the remedy that fits."""
    remedy = _REMEDIES.get(error.errno or 0, "write elsewhere (output_dir=…, paths.outputs=…)")
    return OutputError(f"{printable(path)} cannot be written ({error.strerror or printable(error)})", remedy)
