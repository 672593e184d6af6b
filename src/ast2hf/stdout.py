"""What a command prints as its result."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ast2hf.errors import OutputError


@contextmanager
def printing(folder: Path) -> Iterator[None]:
    """Raise OutputError where stdout cannot be written to. ``folder``: has the result as well."""
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        yield
        sys.stdout.flush()
    except (OSError, SystemExit) as error:
        cause = error.__context__ if isinstance(error, SystemExit) else error  # rich exits where a pipe is broken
        if not isinstance(cause, OSError):
            raise
        raise OutputError(f"cannot write to stdout ({cause.strerror})", f"the result is in {folder}") from cause
