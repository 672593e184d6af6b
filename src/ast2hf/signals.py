"""SIGINT and SIGTERM: they end a run by an exception, so that it puts in order what it has begun."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143

_AGAIN = 0.02
"""Seconds in which what has lost the exception will have ended."""

_BOTH = (signal.SIGINT, signal.SIGTERM)


def raise_exceptions() -> None:
    """KeyboardInterrupt for SIGINT, SystemExit with TERMINATED for SIGTERM."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a shell starts what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _send_again


def end_at_once() -> None:
    """Without an exception, for when there is nothing to put in order: Python would only print it as it ends itself."""
    for number in _BOTH:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    sys.unraisablehook = sys.__unraisablehook__


@contextmanager
def held() -> Iterator[None]:
    """Signals that come meanwhile take effect at the end. For what must not be left half done, and is short."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal is handled in another thread
        return
    arrived: list[int] = []
    before = {number: signal.signal(number, lambda n, _: arrived.append(n)) for number in _BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def _send_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Where an exception is lost, as in the callback of a C library or a destructor, its signal comes once more."""
    error = unraisable.exc_value
    if isinstance(error, KeyboardInterrupt):
        number = signal.SIGINT
    elif isinstance(error, SystemExit) and error.code == TERMINATED:
        number = signal.SIGTERM
    else:
        sys.__unraisablehook__(unraisable)
        return
    again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)
