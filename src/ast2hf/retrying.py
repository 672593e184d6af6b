"""Retry requests after transient errors: which errors those are, how long to wait, when to stop."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ast2hf.errors import Ast2hfError, printable

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState, Retrying

log = logging.getLogger(__name__)

MAX_WAIT = 60.0
"""Seconds. If a server asks for a longer wait, the request is not repeated."""

_PERMANENT = (Ast2hfError, ValueError, TypeError, LookupError, AttributeError)
"""Refusals, malformed answers, missing files, and bugs. Other errors without a status count as broken connections:
those of the HTTP clients and of hf_xet have no common base class."""


class TransientError(Exception):
    """A failure that may not recur. ``wait``: the seconds that the server asks for."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


def retrying(stop: Callable[[RetryCallState], bool]) -> Retrying:
    """Repeat a call, or a ``with`` block, while it fails with transient errors, until ``stop``. Raises the last error.

    Waits 0.5 s, 1 s, 2 s, … up to 10 s, or longer if the server asks for it with Retry-After.
    """
    from tenacity import Retrying, retry_if_exception

    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=_wait,
        stop=lambda state: requested_wait(_error(state)) > MAX_WAIT or stop(state),
        before_sleep=_log_attempt,
        reraise=True,
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: the server is busy, or the connection broke."""
    if isinstance(error, TransientError):
        return True
    from huggingface_hub.errors import OfflineModeIsEnabled

    if root_cause(error) is not error:  # huggingface_hub has already repeated it
        return False
    if (code := status(error)) is not None:
        return is_transient_status(code)
    if isinstance(error, OSError) and error.errno is not None:
        return isinstance(error, ConnectionError | TimeoutError)  # others come from the file system
    return isinstance(error, Exception) and not isinstance(error, (*_PERMANENT, OfflineModeIsEnabled))


def is_transient_status(code: int) -> bool:
    """Whether a server that answers with this HTTP status may answer differently later."""
    return code in (408, 425, 429) or code >= 500


def status(error: BaseException) -> int | None:
    """The HTTP status of the response that caused ``error``; None if there was no response."""
    response = getattr(root_cause(error), "response", None)
    return None if response is None else int(response.status_code)


def root_cause(error: BaseException) -> BaseException:
    """The underlying error: huggingface_hub wraps errors in uploads of large files in a RuntimeError."""
    return error.__cause__ if type(error) is RuntimeError and error.__cause__ else error


def busy(response: httpx.Response) -> TransientError:
    """The error for a response with a transient status."""
    seconds = retry_after(response.headers.get("retry-after", ""))
    wish = f", retry after {seconds:,.0f} s" if seconds > MAX_WAIT else ""
    return TransientError(f"status {response.status_code}{wish}", seconds)


def retry_after(value: str) -> float:
    """Seconds to wait according to Retry-After, a number or a date. Source: RFC 9110, section 10.2.3."""
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def requested_wait(error: BaseException | None) -> float:
    """The seconds that the server asked to wait when it answered with ``error``; 0 if it did not."""
    if isinstance(error, TransientError):
        return error.wait
    response = getattr(error, "response", None)
    return 0.0 if response is None else retry_after(response.headers.get("retry-after", ""))


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait(state: RetryCallState) -> float:
    from tenacity import wait_exponential

    return max(requested_wait(_error(state)), wait_exponential(multiplier=0.5, max=10)(state))


def _log_attempt(state: RetryCallState) -> None:
    error = printable(_error(state))
    log.warning("attempt %d failed (%s); next in %.1f s", state.attempt_number, error, state.upcoming_sleep)
