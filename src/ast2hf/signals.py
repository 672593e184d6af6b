"""Delay signals during work that must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of this context. Use only for short work."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are only handled in the main thread
        return
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: arrived.append(n)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
