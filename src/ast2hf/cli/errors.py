"""Show every error as one line on stderr; a question is followed by its answers, one per line."""

from __future__ import annotations

import errno
import sys
import traceback

from omegaconf.errors import OmegaConfBaseException

from ast2hf import secrets
from ast2hf.errors import Ast2hfError, OutputError, QuestionError, first_line
from ast2hf.hydra_errors import explain
from ast2hf.stdout import ClosedPipeError

DISK_ERRNOS = (
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EINVAL, errno.EIO, errno.ENAMETOOLONG, errno.ENOENT,
    errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.ESTALE,
)  # fmt: skip


def to_expected(error: Exception) -> Ast2hfError:
    """Turn any error of a job into one that can be shown on one line; an unexpected one is a bug in ast2hf."""
    if isinstance(error, Ast2hfError):
        return error
    if isinstance(error, OmegaConfBaseException):
        return explain(error)
    expected = Ast2hfError(
        f"unexpected {type(error).__name__}: {error}",
        "please report this bug in ast2hf with the log in the run folder",
    )
    expected.__cause__ = error
    return expected


def run_folder_unwritable(error: OSError) -> OutputError:
    """Jobs show their own errors; an OSError from Hydra itself means that it cannot write the run folder."""
    expected = OutputError(
        f"the run folder cannot be written ({first_line(error)})", "set paths.outputs=… to another folder"
    )
    expected.__cause__ = error
    return expected


def launcher_gave_up(error: Exception) -> Ast2hfError:
    """Jobs show their own errors, so an error raised by the launcher means that a process was lost."""
    expected = Ast2hfError(
        f"the launcher gave up ({type(error).__name__}: {first_line(error)})",
        "see the table for the result of each job, and rerun with skip_existing=true to continue",
    )
    expected.__cause__ = error
    return expected


def show(error: Ast2hfError, debug: bool) -> int:
    """Print ``error`` to stderr, after its traceback with ``debug``; return its exit code.

    A closed pipe is not shown.
    """
    if isinstance(error, ClosedPipeError):
        return error.exit_code
    if debug:
        print(secrets.redact("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    lines = list(error.lines()) if isinstance(error, QuestionError) else [str(error)]
    print("error:", "\n".join(lines), file=sys.stderr)
    return error.exit_code
