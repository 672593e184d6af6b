"""Detect changes to a file that is read several times, by its hash before and after, and by its timestamps."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property

from ast2hf.checkpoint.container import ByteRange, blocks
from ast2hf.errors import InputError


class Watch:
    """An open file, hashed in a thread in parallel with other work. Use :func:`watch`."""

    def __init__(self, fd: int, executor: ThreadPoolExecutor, abandoned: threading.Event) -> None:
        self._fd = fd
        self._executor = executor
        self._abandoned = abandoned
        self._before = _state(fd)

    def begin(self) -> None:
        """Start computing the hash now instead of when it is requested."""
        _ = self._first

    @cached_property
    def _first(self) -> Future[str]:
        return self._hash()

    @property
    def sha256(self) -> str:
        """Of the whole file, as first read. Waits until it is known; raises InputError if the file cannot be read."""
        return self._first.result()

    @contextmanager
    def unchanged(self) -> Iterator[Callable[[], None]]:
        """Raise InputError at the end, even in place of another error, if the file has changed.

        Call the yielded function once everything has been read; it starts the second hash in parallel with other work.
        """
        again: list[Future[str]] = []
        try:
            yield lambda: again.append(self._hash())
        except Exception as error:
            # The change may have caused the error. Hashing again is not worth the time for an error.
            self._check_state(error)
            raise
        if any(found.result() != self.sha256 for found in again or [self._hash()]):
            raise _changed()
        self._check_state()

    def _check_state(self, error: Exception | None = None) -> None:
        if _state(self._fd) != self._before:
            raise _changed() from error

    def _hash(self) -> Future[str]:
        return self._executor.submit(_sha256, self._fd, self._abandoned)


@contextmanager
def watch(fd: int) -> Iterator[Watch]:
    """Watch the open file ``fd``, even if its path later leads elsewhere."""
    abandoned = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sha256") as executor:
        try:
            yield Watch(fd, executor, abandoned)
        finally:
            abandoned.set()


def _state(fd: int) -> tuple[int, int, int]:
    """Size, and both modification times in nanoseconds: programs can set mtime, but not ctime."""
    found = os.fstat(fd)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _sha256(fd: int, abandoned: threading.Event) -> str:
    digest = hashlib.sha256()
    for block in blocks(fd, ByteRange(0, os.fstat(fd).st_size)):
        if abandoned.is_set():
            raise CancelledError
        digest.update(block)
    return digest.hexdigest()


def _changed() -> InputError:
    return InputError(
        "the checkpoint changed while it was being read", "wait until nothing writes to it, and try again"
    )
