"""Fetch a checkpoint by HTTP into a cache: whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ast2hf.checkpoint.container import MAX_FILE
from ast2hf.checkpoint.intake import HTML_REMEDY, vet
from ast2hf.errors import DownloadError, InputError, printable

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and, where the server says, in all."""

ATTEMPTS = 4
TIMEOUT = 30.0
"""Seconds without a byte after which an attempt is given up."""

MAX_WAIT = 60.0
"""Seconds between two attempts, whatever the server asks for."""


class _TransientError(Exception):
    """A fault that may pass: the server is busy, or the connection broke. ``wait``: the seconds that it asks for."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


def cached_path(url: str, cache: Path) -> Path:
    """Where the file of ``url`` is or will be kept: one folder per address, the server's file name in it."""
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".") or "checkpoint"
    return cache / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:16] / safe


def fetch(url: str, cache: Path, progress: Progress) -> Path:
    """The local copy of ``url``, fetched if ``cache`` has no sound one.

    Raises DownloadError, or InputError where it is no checkpoint; then nothing is kept.
    """
    path = cached_path(url, cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            if not _is_sound(path):
                _download(url, path, progress)
    except OSError as error:
        raise DownloadError(
            f"the download cannot be kept at {printable(path)} ({error.strerror})",
            "give paths.cache=… on a disk with room",
        ) from error
    return path


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Of several runs that want one file, one fetches it and the others wait. The lock ends with its process."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _is_sound(path: Path) -> bool:
    try:
        vet(path)
    except (FileNotFoundError, InputError):
        return False
    return True


def _download(url: str, path: Path, progress: Progress) -> None:
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    # One name for all runs: what a killed one left is overwritten by the next.
    part = path.with_name(f"{path.name}.part")
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_wait,
            reraise=True,
        ):
            with attempt:
                _fetch_once(url, part, progress)
        part.replace(path)
        vet(path)
    except _TransientError as error:
        raise DownloadError(
            f"{printable(urlsplit(url).hostname)} did not deliver the checkpoint in {ATTEMPTS} attempts "
            f"({printable(error)})",
            "check the network and try again, or fetch the file by hand and give checkpoint=PATH",
        ) from error
    except InputError:
        path.unlink()
        raise
    finally:
        part.unlink(missing_ok=True)


def _wait(state: RetryCallState) -> float:
    from tenacity import wait_exponential

    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, _TransientError) else 0.0
    return min(max(asked, wait_exponential(multiplier=0.5, max=10)(state)), MAX_WAIT)


def _fetch_once(url: str, part: Path, progress: Progress) -> None:
    import httpx

    shown = printable(url)
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT) as response:
            if response.status_code in (408, 425, 429) or response.status_code >= 500:
                asked = response.headers.get("retry-after", "")
                raise _TransientError(f"status {response.status_code}", float(asked) if asked.isdecimal() else 0.0)
            if response.status_code != 200:
                raise DownloadError(
                    f"{shown} answered with status {response.status_code}",
                    "check the address, or fetch the file by hand and give checkpoint=PATH",
                )
            if response.headers.get("content-type", "").startswith("text/html"):
                raise DownloadError(f"{shown} is an HTML page, not a checkpoint", HTML_REMEDY)
            _receive(response, shown, part, progress)
    except httpx.TooManyRedirects:
        raise DownloadError(f"{shown} redirects without end", "check the address") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise DownloadError(
            f"{shown} is or leads to no web address ({printable(error, 100)})", "check the address"
        ) from None
    except httpx.HTTPError as error:
        raise _TransientError(f"{type(error).__name__}: {printable(error, 100)}") from error


def _receive(response: httpx.Response, shown: str, part: Path, progress: Progress) -> None:
    length = response.headers.get("content-length")
    total = int(length) if length and "content-encoding" not in response.headers else None
    received = 0
    with part.open("wb") as file:
        for chunk in response.iter_bytes(1 << 20):
            received += len(chunk)
            if max(received, total or 0) > MAX_FILE:
                raise DownloadError(f"{shown} sends more than {MAX_FILE:,} bytes", "is it a checkpoint?")
            file.write(chunk)
            progress(received, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and received != total:
        raise _TransientError(f"{received:,} of {total:,} bytes")
