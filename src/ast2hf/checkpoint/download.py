"""Download a file over HTTP in bounded time, hashing it on the way; each attempt resumes where the last one stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ast2hf.checkpoint.container import MAX_FILE
from ast2hf.checkpoint.partial import Partial
from ast2hf.checkpoint.sniff import HTML_REMEDY
from ast2hf.config import Download
from ast2hf.errors import DownloadError, printable
from ast2hf.retrying import TransientError, busy, is_transient_status, retrying

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes so far and, if the server sends it, the total."""

ATTEMPTS = 4
"""Consecutive attempts without progress; an attempt that downloaded more of the file resets the count."""

MAX_REDIRECTS = 10

HINT_MANUAL_DOWNLOAD = "download the file manually and set checkpoint=PATH"


def download(url: str, part: Path, limits: Download, progress: Progress) -> str:
    """Download ``url`` to ``part``, resuming what an earlier run left there. Returns its SHA-256.

    Raises DownloadError, or OSError if it cannot be written; in both cases ``part`` is removed. On an interrupt it is
    kept.
    """
    partial = Partial(part)
    try:
        _Transfer(url, partial, limits, progress).run()
        return partial.finish()
    except Exception:
        partial.discard()
        raise


class _Transfer:
    """The attempts to fetch one file."""

    def __init__(self, url: str, part: Partial, limits: Download, progress: Progress) -> None:
        self._url = url
        self._shown = printable(url)
        self._part = part
        self._limits = limits
        self._progress = progress
        self._end = time.monotonic() + limits.deadline_s
        self._best = 0
        self._fruitless = 0
        self._is_late = False

    def run(self) -> None:
        import httpx

        attempts = retrying(self._should_stop)
        try:
            with httpx.Client() as client:
                for attempt in attempts:
                    with attempt:
                        self._attempt(client)
        except TransientError as error:
            if self._is_late:
                raise self._too_slow(printable(error)) from error
            count = attempts.statistics["attempt_number"]
            raise DownloadError(
                f"{printable(urlsplit(self._url).hostname)} did not deliver the checkpoint in {count} "
                f"attempt{'s' * (count > 1)} ({printable(error)})",
                f"check the network and try again, or {HINT_MANUAL_DOWNLOAD}",
            ) from error

    @property
    def _left(self) -> float:
        return self._end - time.monotonic()

    def _should_stop(self, state: RetryCallState) -> bool:
        is_hopeless = self._fruitless >= ATTEMPTS
        self._is_late = not is_hopeless and self._left <= state.upcoming_sleep
        return is_hopeless or self._is_late

    def _too_slow(self, why: str) -> DownloadError:
        return DownloadError(
            f"{self._shown} was not downloaded in {self._limits.deadline_s:g} s ({why})",
            f"raise download.deadline_s, or {HINT_MANUAL_DOWNLOAD}",
        )

    def _attempt(self, client: httpx.Client) -> None:
        import httpx

        self._fruitless += 1
        try:
            with self._response(client) as response:
                total = self._begin(response)
                self._receive(response, total)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise DownloadError(
                f"{self._shown} (or a redirect from it) is not an http(s) URL ({type(error).__name__})", "check the URL"
            ) from None
        except httpx.HTTPError as error:
            raise TransientError(f"{type(error).__name__}: {printable(error, 100)}") from error
        finally:
            if self._part.is_resumable and self._part.size > self._best:
                self._best, self._fruitless = self._part.size, 0

    @contextmanager
    def _response(self, client: httpx.Client) -> Iterator[httpx.Response]:
        """The response after all redirects, with its body still unread; the bodies of redirects are never read."""
        timeout = min(self._limits.timeout_s, max(self._left, 0.001))
        request = client.build_request("GET", self._url, headers=self._part.request_headers(), timeout=timeout)
        for _ in range(MAX_REDIRECTS + 1):
            response = client.send(request, stream=True)
            try:
                if response.next_request is None:
                    yield response
                    return
            finally:
                response.close()
            if request.url.scheme == "https" and response.next_request.url.scheme == "http":
                raise DownloadError(
                    f"{self._shown} redirects from https to http", f"check the URL, or {HINT_MANUAL_DOWNLOAD}"
                )
            if self._left <= 0:
                raise self._too_slow("redirects")
            request = response.next_request
        raise DownloadError(f"{self._shown} redirects endlessly", "check the URL")

    def _begin(self, response: httpx.Response) -> int | None:
        """Prepare the part for the body. Returns the size of the whole file in bytes, if the server sends it."""
        status, headers = response.status_code, response.headers
        if is_transient_status(status):
            raise busy(response)
        if status == 200:
            if headers.get("content-type", "").lower().startswith("text/html"):
                raise DownloadError(f"{self._shown} is an HTML page, not a checkpoint", HTML_REMEDY)
            return self._part.start(headers)
        if status in (206, 416) and "range" in response.request.headers:
            if status == 206 and (total := self._part.resume(headers)) is not None:
                return total
            self._part.restart()
            raise TransientError("the server refused to resume the download")
        raise DownloadError(f"{self._shown} answered with status {status}", f"check the URL, or {HINT_MANUAL_DOWNLOAD}")

    def _receive(self, response: httpx.Response, total: int | None) -> None:
        with self._part.appending() as append:
            self._check_size(total or 0)
            for chunk in response.iter_bytes():
                self._check_size(self._part.size + len(chunk))
                append(chunk)
                self._progress(self._part.size, total)
                if self._left <= 0 and self._part.size != total:
                    raise self._too_slow(f"{self._part.size:,} of {f'{total:,}' if total else 'unknown'} bytes")
        if total is not None and self._part.size != total:
            raise TransientError(f"{self._part.size:,} of {total:,} bytes")

    def _check_size(self, size: int) -> None:
        if size > MAX_FILE:
            raise DownloadError(f"{self._shown} sent more than {MAX_FILE:,} bytes", "check that it is a checkpoint")
