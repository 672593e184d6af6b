"""Fetch a checkpoint by HTTP into a cache: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ast2hf.checkpoint.container import HTML_REMEDY, MAX_FILE
from ast2hf.errors import DownloadError, printable

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and, where the server says, in all."""

ATTEMPTS = 4
TIMEOUT = 30.0
"""Seconds without a byte after which an attempt is given up."""


class _TransientError(Exception):
    """A fault that may pass: the server is busy, or the connection broke."""


def cached_path(url: str, cache: Path) -> Path:
    """Where the file of ``url`` is or will be kept: one folder per address, the server's file name in it."""
    name = unquote(PurePosixPath(urlsplit(url).path).name) or "checkpoint"
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[-100:]
    return cache / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:16] / safe


def fetch(url: str, cache: Path, progress: Progress) -> Path:
    """The local copy of ``url``, fetched if it is not in ``cache``. Raises DownloadError; then nothing is kept."""
    path = cached_path(url, cache)
    if path.exists():
        return path
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")
    host = printable(urlsplit(url).hostname)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(initial=0.5, max=10),
            reraise=True,
        ):
            with attempt:
                _fetch_once(url, part, progress)
        part.replace(path)
    except _TransientError as error:
        raise DownloadError(
            f"{host} did not deliver the checkpoint in {ATTEMPTS} attempts ({printable(error)})",
            "check the network and try again, or fetch the file by hand and give checkpoint=PATH",
        ) from error
    except OSError as error:
        raise DownloadError(
            f"the download cannot be kept at {printable(path)} ({error.strerror})",
            "give paths.cache=… on a disk with room",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _fetch_once(url: str, part: Path, progress: Progress) -> None:
    import httpx

    shown = printable(url.partition("?")[0])
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT) as response:
            if response.status_code in (408, 425, 429) or response.status_code >= 500:
                raise _TransientError(f"status {response.status_code}")
            if response.status_code != 200:
                raise DownloadError(
                    f"{shown} answered with status {response.status_code}",
                    "check the address, or fetch the file by hand and give checkpoint=PATH",
                )
            if response.headers.get("content-type", "").startswith("text/html"):
                raise DownloadError(f"{shown} is an HTML page, not a checkpoint", HTML_REMEDY)
            length = response.headers.get("content-length")
            total = int(length) if length and "content-encoding" not in response.headers else None
            received = 0
            with part.open("wb") as file:
                for chunk in response.iter_bytes(1 << 20):
                    file.write(chunk)
                    received += len(chunk)
                    progress(received, total)
                    if received > MAX_FILE:
                        raise DownloadError(f"{shown} sends more than {MAX_FILE:,} bytes", "is it a checkpoint?")
                file.flush()
                os.fsync(file.fileno())
            if total is not None and received != total:
                raise _TransientError(f"{received:,} of {total:,} bytes")
    except httpx.TooManyRedirects:
        raise DownloadError(f"{shown} redirects without end", "check the address") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise DownloadError(
            f"{shown} is or leads to no web address ({printable(error, 100)})", "check the address"
        ) from None
    except httpx.HTTPError as error:
        raise _TransientError(f"{type(error).__name__}: {printable(error, 100)}") from error
