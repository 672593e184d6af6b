"""Fetch a file by HTTP: in bounded time, in attempts that go on where the last one stopped, and hashed on its way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ast2hf.checkpoint import retries
from ast2hf.checkpoint.container import MAX_FILE
from ast2hf.checkpoint.intake import HTML_REMEDY
from ast2hf.checkpoint.partial import Partial
from ast2hf.checkpoint.retries import TransientError
from ast2hf.config import Download
from ast2hf.errors import DownloadError, printable

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and, where the server says, in all."""

ATTEMPTS = 4
"""In a row that brought nothing new; after each that brought more of the file, counting begins again."""

MAX_REDIRECTS = 10

BY_HAND = "fetch the file by hand and give checkpoint=PATH"


def download(url: str, part: Path, limits: Download, progress: Progress) -> str:
    """Fetch ``url`` into ``part``, of which a killed run may have left the beginning. Returns its SHA-256.

    Raises DownloadError, and OSError where it cannot be written; then ``part`` is gone. If interrupted, it stays.
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
        from tenacity import Retrying, retry_if_exception_type

        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            wait=retries.wait,
            stop=self._is_hopeless,
            before_sleep=retries.log_attempt,
            reraise=True,
        )
        try:
            with httpx.Client() as client:
                for attempt in retrying:
                    with attempt:
                        self._attempt(client)
        except TransientError as error:
            if self._is_late:
                raise self._too_slow(printable(error)) from error
            count = retrying.statistics["attempt_number"]
            raise DownloadError(
                f"{printable(urlsplit(self._url).hostname)} did not deliver the checkpoint in {count} "
                f"attempt{'s' * (count > 1)} ({printable(error)})",
                f"check the network and try again, or {BY_HAND}",
            ) from error

    @property
    def _left(self) -> float:
        return self._end - time.monotonic()

    def _is_hopeless(self, state: RetryCallState) -> bool:
        hopeless = self._fruitless >= ATTEMPTS or retries.asked(state) > retries.MAX_WAIT
        self._is_late = not hopeless and self._left <= state.upcoming_sleep
        return hopeless or self._is_late

    def _too_slow(self, why: str) -> DownloadError:
        return DownloadError(
            f"{self._shown} was not fetched in {self._limits.deadline_s:g} s ({why})",
            f"give it more time with download.deadline_s=…, or {BY_HAND}",
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
                f"{self._shown} is or leads to no web address ({type(error).__name__})", "check the address"
            ) from None
        except httpx.HTTPError as error:
            raise TransientError(f"{type(error).__name__}: {printable(error, 100)}") from error
        finally:
            if self._part.is_resumable and self._part.size > self._best:
                self._best, self._fruitless = self._part.size, 0

    @contextmanager
    def _response(self, client: httpx.Client) -> Iterator[httpx.Response]:
        """The answer at the end of all redirects, its body not yet read; the bodies on the way are never read."""
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
                raise DownloadError(f"{self._shown} redirects from https to http", f"check the address, or {BY_HAND}")
            if self._left <= 0:
                raise self._too_slow("redirects")
            request = response.next_request
        raise DownloadError(f"{self._shown} redirects without end", "check the address")

    def _begin(self, response: httpx.Response) -> int | None:
        """Make the part ready for the body. Returns the bytes of the whole file, where the server says."""
        status, headers = response.status_code, response.headers
        if status in (408, 425, 429) or status >= 500:
            raise retries.busy(response)
        if status == 200:
            if headers.get("content-type", "").lower().startswith("text/html"):
                raise DownloadError(f"{self._shown} is an HTML page, not a checkpoint", HTML_REMEDY)
            return self._part.start(headers)
        if status in (206, 416) and "range" in response.request.headers:
            if status == 206 and (total := self._part.resume(headers)) is not None:
                return total
            self._part.restart()
            raise TransientError("the rest of the file is not to be had")
        raise DownloadError(f"{self._shown} answered with status {status}", f"check the address, or {BY_HAND}")

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
            raise DownloadError(f"{self._shown} sends more than {MAX_FILE:,} bytes", "is it a checkpoint?")
