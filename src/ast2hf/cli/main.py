"""The entry point: ``ast2hf``, and ``python convert.py`` in a clone."""

from __future__ import annotations

import errno
import os
import signal
import sys

from ast2hf import __version__
from ast2hf.cli import help as help_text

_OF_STDOUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of stdout. Those of other files on a full disk are shown before they get here."""


def main() -> int:
    """Run the command line in ``sys.argv``. Returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until launch(): an interrupted import would print a traceback
    code = 0
    try:
        try:
            code = _run()
        finally:  # also where Hydra exits, after its own help: at the exit of Python it would be too late
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.errno not in _OF_STDOUT:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again at exit
        return code or _not_printed(error)
    return code


def _not_printed(error: OSError) -> int:
    """The exit code if stdout cannot be written to. A closed pipe is not shown, as in ``ast2hf --help | head -1``."""
    from ast2hf.errors import OutputError
    from ast2hf.stdout import ClosedPipeError

    if isinstance(error, BrokenPipeError):
        return ClosedPipeError.exit_code
    expected = OutputError(f"cannot write to stdout ({error.strerror})", "free some space, or write it elsewhere")
    print("error:", expected, file=sys.stderr)
    return expected.exit_code


def _run() -> int:
    if help_text.is_requested(sys.argv[1:]):
        help_text.show(sys.argv[1:])
        return 0
    if sys.argv[1:] == ["--version"]:  # Hydra would say its own
        print(f"ast2hf {__version__}")
        return 0
    from ast2hf.cli import arguments, errors
    from ast2hf.cli.launch import launch
    from ast2hf.errors import ConfigurationError

    sys.argv[1:] = arguments.with_model(arguments.flags_first(sys.argv[1:]))
    try:
        arguments.require_no_secrets(sys.argv[1:])
        arguments.require_no_dashes(sys.argv[1:])
    except ConfigurationError as error:
        return errors.show(error, debug=False)
    return launch(debug=arguments.wants_debug(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
