"""What is repeated, how often, and after which wait."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import httpx
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled
from tenacity import stop_after_attempt

from ast2hf import retrying
from ast2hf.errors import DownloadError
from ast2hf.retrying import TransientError


class RefusedError(Exception):
    """An error of an HTTP client, with the answer."""

    def __init__(self, status: int, retry_after: str = "") -> None:
        self.response = SimpleNamespace(status_code=status, headers={"retry-after": retry_after})


def wrapped(error: Exception, base: type[Exception] = RuntimeError) -> Exception:
    outer = base("upload failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        TransientError("status 503"),
        *map(RefusedError, (408, 425, 429, 500, 503, 599)),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("silence"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        TimeoutError(errno.ETIMEDOUT, "silence"),
        OSError("of an HTTP client, which gives no number"),
        RuntimeError("of hf_xet"),
    ],
    ids=repr,
)
def test_transient(error):
    assert retrying.is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        *map(RefusedError, (400, 401, 403, 404, 412, 416)),
        wrapped(RefusedError(503)),
        DownloadError("a", "b"),
        OfflineModeIsEnabled("offline"),
        OSError(errno.ENOSPC, "disk full"),
        FileNotFoundError(errno.ENOENT, "missing"),
        ValueError("no JSON"),
        KeyError("oid"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_permanent(error):
    assert not retrying.is_transient(error)


def test_the_status_is_that_of_the_root_cause():
    assert retrying.status(wrapped(RefusedError(503))) == 503
    assert retrying.status(wrapped(RefusedError(503), ValueError)) is None
    assert retrying.status(RuntimeError("no cause")) is None


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were to be waited between attempts; none is."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


def failing(*errors: BaseException):
    """A step that raises one of the errors each time, and then returns the number of its calls."""
    left = list(errors)

    def step() -> int:
        if left:
            raise left.pop(0)
        return len(errors) + 1

    return step


def test_transient_errors_are_outlasted(waits, caplog):
    step = failing(RefusedError(503), TransientError("cut"), httpx.ReadTimeout("silence"))
    assert retrying.retrying(stop_after_attempt(9))(step) == 4
    assert waits == [0.5, 1, 2]
    assert "attempt 2 failed (cut); next in 1.0 s" in caplog.messages


def test_the_wait_grows_to_ten_seconds(waits):
    with pytest.raises(TransientError):
        retrying.retrying(stop_after_attempt(8))(failing(*[TransientError("busy")] * 8))
    assert waits == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_permanent_error_is_raised_at_once(waits):
    with pytest.raises(DownloadError):
        retrying.retrying(stop_after_attempt(9))(failing(DownloadError("a", "b")))
    assert waits == []


@pytest.mark.parametrize("error", [TransientError("busy", wait=7), RefusedError(429, "7")], ids=repr)
def test_retry_after_is_honoured(waits, error):
    assert retrying.retrying(stop_after_attempt(9))(failing(error)) == 2
    assert waits == [7]


@pytest.mark.parametrize("error", [TransientError("busy", wait=61), RefusedError(429, "61")], ids=repr)
def test_too_long_a_wait_ends_it(waits, error):
    with pytest.raises(type(error)):
        retrying.retrying(stop_after_attempt(9))(failing(error))
    assert waits == []


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("120", 120), ("-5", 0), ("soon", 0), ("", 0), ("9" * 5000, 0), ("\u0663", 0)]
)
def test_retry_after_in_seconds(value, seconds):
    assert retrying.retry_after(value) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(100, 100), (-100, 0)])
@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_retry_after_as_a_date(ahead, seconds, zone):
    date = datetime.now(UTC) + timedelta(seconds=ahead)
    assert retrying.retry_after(format_datetime(date).replace("+0000", zone)) == pytest.approx(seconds, abs=2)
