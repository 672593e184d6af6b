"""Write the files of a model folder and a run folder; an error names the reason and a remedy."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ast2hf.errors import OutputError, printable

_NO_LOCKS = "set output_dir=… on a file system that supports locks (on Lustre, with the mount option flock)"
_REMEDIES = {
    errno.ENOSPC: "free some space, or write to another disk (output_dir=…, paths.outputs=…)",
    errno.EDQUOT: "free some of your quota, or write elsewhere (output_dir=…, paths.outputs=…)",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EEXIST: "set another output_dir=…, or overwrite=true to replace it",
    errno.ENOSYS: _NO_LOCKS,
    errno.ENOLCK: _NO_LOCKS,
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise OutputError if ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8. Raises OutputError."""
    with writing(path):
        path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` with its keys in order, so that the same input gives the same bytes. Raises OutputError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_error(path: Path, error: OSError) -> OutputError:
    """The error for ``path``, with a remedy that fits the cause."""
    remedy = _REMEDIES.get(error.errno or 0, "write elsewhere (output_dir=…, paths.outputs=…)")
    return OutputError(f"{printable(path)} cannot be written ({error.strerror or printable(error)})", remedy)
