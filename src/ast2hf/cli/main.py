"""The entry point: ``ast2hf``, and ``python convert.py`` in a clone."""

from __future__ import annotations

import os
import signal
import sys

from ast2hf.cli import help as help_text

BROKEN_PIPE = 141


def main() -> int:
    """Run the command line in ``sys.argv``. Returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until launch(): an interrupted import would print a traceback
    code = 0
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # as in `ast2hf --help | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its exit
        return code or BROKEN_PIPE
    return code


def _run() -> int:
    if help_text.is_requested(sys.argv[1:]):
        help_text.show(sys.argv[1:])
        return 0
    from ast2hf import secrets
    from ast2hf.cli import errors
    from ast2hf.cli.launch import launch
    from ast2hf.errors import ConfigurationError

    sys.argv[1:] = secrets.put_aside(flags_first(sys.argv[1:]))
    if any(map(secrets.has_token, sys.argv[1:])):
        return errors.show(
            ConfigurationError(
                "the command line gives a token or password, and would leave it in files and in the shell's history",
                "export HF_TOKEN=…, or log in with: hf auth login",
            ),
            debug=False,
        )
    return launch(debug="debug=true" in sys.argv)


def flags_first(arguments: list[str]) -> list[str]:
    """Move ``-m`` before the overrides: between two of them, argparse would refuse those behind it."""
    multirun = {"-m", "--multirun"}
    return [a for a in arguments if a in multirun] + [a for a in arguments if a not in multirun]


if __name__ == "__main__":
    sys.exit(main())
