"""A partial download that a later attempt or run can resume."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from io import BufferedReader
from pathlib import Path
from typing import cast

from ast2hf.local_files import is_own, open_unshared, read_open

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')

_MAX_NOTE = 1000
"""Largest validator in bytes: an ETag has at most 200 here, a date 29."""

_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")


class Partial:
    """The bytes in ``path`` and their SHA-256 so far. ``size``: the number of bytes.

    If the server supports partial downloads, a second file keeps the validator of the remote file (a strong ETag or a
    date), and the rest is requested on condition that the file is unchanged. Source: RFC 9110, sections 13.1.5 and 14.

    A link in place of either file, or a file of another user, is neither read nor written to, but removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._note = path.with_name(f"{path.name}.validator")
        self._validator = ""
        self._digest = hashlib.sha256()
        self.size = 0
        with suppress(OSError, ValueError):  # in that case, start over
            self._restore()

    def _restore(self) -> None:
        with open_unshared(self._note, "rb") as note, open_unshared(self._path, "rb") as file:
            found = read_open(note, _MAX_NOTE).decode("ascii")
            if found and found.isprintable() and is_own(note) and is_own(file):
                self._digest = hashlib.file_digest(cast(BufferedReader, file), "sha256")
                self._validator, self.size = found, file.tell()

    @property
    def is_resumable(self) -> bool:
        """Whether the server can send only the rest."""
        return bool(self._validator)

    def request_headers(self) -> dict[str, str]:
        """Headers that request the rest of the file if it is resumable, else all of it."""
        plain = {"Accept-Encoding": "identity"}
        if not (self._validator and self.size):
            return plain
        return {**plain, "Range": f"bytes={self.size}-", "If-Range": self._validator}

    def start(self, headers: Mapping[str, str]) -> int | None:
        """Begin the whole file. Returns its size in bytes if ``headers`` have it."""
        encoded = "content-encoding" in headers  # the sizes are then those of the encoded bytes
        self.restart("" if encoded else _validator(headers))
        return int(headers["content-length"]) if "content-length" in headers and not encoded else None

    def resume(self, headers: Mapping[str, str]) -> int | None:
        """Accept the rest. Returns the size of the whole file in bytes, or None if ``headers`` do not match."""
        match = _RANGE.fullmatch(headers.get("content-range", ""))
        same = not self._validator.startswith('"') or headers.get("etag", self._validator) == self._validator
        if match is None or int(match[1]) != self.size or not same:
            return None
        return int(match[2])

    def restart(self, validator: str = "") -> None:
        """Drop all bytes so far. ``validator``: of the file that follows; empty if it cannot be resumed.

        Raises OSError.
        """
        self._note.unlink(missing_ok=True)  # first, so that it never describes the bytes of another file
        self._path.unlink(missing_ok=True)  # and not emptied: it may be a link
        open_unshared(self._path, "xb").close()
        if validator:
            with open_unshared(self._note, "xb") as note:
                note.write(validator.encode("ascii"))
        self._validator, self._digest, self.size = validator, hashlib.sha256(), 0

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """A function that appends bytes. Raises OSError."""
        with open_unshared(self._path, "ab") as file:

            def append(data: bytes) -> None:
                file.write(data)
                self._digest.update(data)
                self.size += len(data)

            yield append

    def finish(self) -> str:
        """Flush the whole file to disk. Returns its SHA-256. Raises OSError."""
        with open_unshared(self._path, "rb") as file:
            os.fsync(file.fileno())
        self._note.unlink(missing_ok=True)
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Remove the files."""
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _validator(headers: Mapping[str, str]) -> str:
    """A value that changes whenever the server's file does; empty if the server does not send partial content."""
    if headers.get("accept-ranges", "").lower() != "bytes":
        return ""
    etag = headers.get("etag", "")
    if _STRONG_ETAG.fullmatch(etag):
        return etag
    try:
        changed, sent = (parsedate_to_datetime(headers[name]) for name in ("last-modified", "date"))
        # A file can change twice within the second that a date shows: RFC 9110, section 8.8.2.2.
        return headers["last-modified"] if not etag and sent - changed >= timedelta(seconds=60) else ""
    except (KeyError, ValueError, TypeError):
        return ""
