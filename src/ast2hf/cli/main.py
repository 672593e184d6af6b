"""The entry point: ``ast2hf``, and ``python convert.py`` in a clone."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line in ``sys.argv``. Returns the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until launch(): an interrupted import would print a traceback
    from ast2hf import secrets
    from ast2hf.cli import errors
    from ast2hf.cli.launch import launch
    from ast2hf.errors import ConfigurationError
    from ast2hf.local_files import conf_folder

    sys.argv[1:] = secrets.put_aside(flags_first(sys.argv[1:]))
    if any(map(secrets.has_token, sys.argv[1:])):
        return errors.show(
            ConfigurationError(
                "the command line gives a token or password, and would leave it in files and in the shell's history",
                "export HF_TOKEN=…, or log in with: hf auth login",
            ),
            debug=False,
        )
    return launch(conf_folder(), debug="debug=true" in sys.argv)


def flags_first(arguments: list[str]) -> list[str]:
    """Move ``-m`` before the overrides: between two of them, argparse would refuse those behind it."""
    multirun = {"-m", "--multirun"}
    return [a for a in arguments if a in multirun] + [a for a in arguments if a not in multirun]


if __name__ == "__main__":
    sys.exit(main())
