"""Print the result of a command."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ast2hf.errors import OutputError


class ClosedPipeError(OutputError):
    """Whoever read stdout has stopped, as ``head`` does. Not shown; the exit code is that of other programs."""

    exit_code = 141


@contextmanager
def printing(folder: Path) -> Iterator[None]:
    """Raise OutputError if stdout cannot be written to. ``folder``: also contains the result."""
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        yield
        sys.stdout.flush()
    except (OSError, SystemExit) as error:
        cause = error.__context__ if isinstance(error, SystemExit) else error  # rich exits on a broken pipe
        if not isinstance(cause, OSError):
            raise
        kind = ClosedPipeError if isinstance(cause, BrokenPipeError) else OutputError
        raise kind(f"cannot write to stdout ({cause.strerror})", f"see the result in {folder}") from cause
