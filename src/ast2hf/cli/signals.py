"""SIGINT and SIGTERM end a command with an exception, so that it cleans up after itself."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143


def raise_exceptions() -> None:
    """KeyboardInterrupt for SIGINT, SystemExit with TERMINATED for SIGTERM."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell starts background jobs with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)


def end_at_once() -> None:
    """Restore the default handlers once nothing is left to clean up: an exception at exit would only be printed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)
