"""When to ask a server again that could not answer, or whose answer broke off."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ast2hf.errors import printable

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

MAX_WAIT = 60.0
"""Seconds between two attempts. A server that asks for more is not asked again."""


class TransientError(Exception):
    """A fault that may pass: the server is busy, or the connection broke. ``wait``: the seconds that it asks for."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


def busy(response: httpx.Response) -> TransientError:
    """The error for a server that may have time later."""
    seconds = retry_after(response.headers.get("retry-after", ""))
    wish = f" and asks to wait {seconds:,.0f} s" if seconds > MAX_WAIT else ""
    return TransientError(f"status {response.status_code}{wish}", seconds)


def retry_after(value: str) -> float:
    """Seconds to wait by the header Retry-After: a number of them, or a date. Source: RFC 9110, section 10.2.3."""
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def asked(state: RetryCallState) -> float:
    """The seconds that the server asked for at the last attempt."""
    error = state.outcome.exception() if state.outcome else None
    return error.wait if isinstance(error, TransientError) else 0.0


def wait(state: RetryCallState) -> float:
    """The seconds until the next attempt."""
    from tenacity import wait_exponential

    return max(asked(state), wait_exponential(multiplier=0.5, max=10)(state))


def log_attempt(state: RetryCallState) -> None:
    """Say in the log that an attempt failed and another follows."""
    error = state.outcome.exception() if state.outcome else None
    log.warning("attempt %d failed (%s); next in %.1f s", state.attempt_number, printable(error), state.upcoming_sleep)
