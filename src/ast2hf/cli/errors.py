"""Every error as one line on stderr; below a question its answers, one a line."""

from __future__ import annotations

import errno
import sys
import traceback

from omegaconf.errors import OmegaConfBaseException

from ast2hf import secrets
from ast2hf.errors import Ast2hfError, OutputError, QuestionError, first_line
from ast2hf.hydra_errors import explain

DISK_ERRNOS = (errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EROFS)


def to_expected(error: Exception) -> Ast2hfError:
    """An error of a job as one that can be shown in a line; what nobody expected is a defect of ast2hf."""
    if isinstance(error, Ast2hfError):
        return error
    if isinstance(error, OmegaConfBaseException):
        return explain(error)
    expected = Ast2hfError(
        f"unexpected {type(error).__name__}: {error}",
        "this is a defect of ast2hf: please report it with the log of the run folder",
    )
    expected.__cause__ = error
    return expected


def run_folder_unwritable(error: OSError) -> OutputError:
    """Jobs show their own errors; what comes from Hydra itself is that it cannot write the folder of the run."""
    expected = OutputError(
        f"the run's folder cannot be written ({first_line(error)})", "give paths.outputs=… where there is room for it"
    )
    expected.__cause__ = error
    return expected


def launcher_gave_up(error: Exception) -> Ast2hfError:
    """Jobs show their own errors, so one that comes through the launcher means that a process was lost."""
    expected = Ast2hfError(
        f"the launcher gave up ({type(error).__name__}: {first_line(error)})",
        "the table has what each job left; to go on, run it again with skip_existing=true",
    )
    expected.__cause__ = error
    return expected


def show(error: Ast2hfError, debug: bool) -> int:
    """Print ``error`` to stderr, after its traceback with ``debug``; return its exit code."""
    if debug:
        print(secrets.redact("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    lines = list(error.lines()) if isinstance(error, QuestionError) else [str(error)]
    print("error:", "\n".join(lines), file=sys.stderr)
    return error.exit_code
