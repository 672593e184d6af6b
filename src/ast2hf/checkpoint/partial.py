"""The beginning of a file that is being fetched, so kept that another attempt, or another run, can go on with it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')

_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")


class Partial:
    """The bytes in ``path`` and their SHA-256 so far.

    Beside them lies the validator of the server's file (a strong ETag or a date) where it can send the rest of it. The
    rest is asked for on the condition that the file is still the same. Source: RFC 9110, sections 13.1.5 and 14.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._note = path.with_name(f"{path.name}.validator")
        self._validator = self._left_validator()
        self._digest = hashlib.sha256()
        self.size = 0
        if self._validator:
            with path.open("rb") as file:
                self._digest = hashlib.file_digest(file, "sha256")
                self.size = file.tell()

    def _left_validator(self) -> str:
        try:
            found = self._note.read_text(encoding="ascii") if self._path.exists() else ""
        except (FileNotFoundError, ValueError):
            return ""
        return found if found.isprintable() else ""

    @property
    def is_resumable(self) -> bool:
        return bool(self._validator)

    def request_headers(self) -> dict[str, str]:
        """For the file as it is, or the rest of it."""
        plain = {"Accept-Encoding": "identity"}
        if not (self._validator and self.size):
            return plain
        return {**plain, "Range": f"bytes={self.size}-", "If-Range": self._validator}

    def start(self, headers: Mapping[str, str]) -> int | None:
        """Begin with a whole file. Returns its bytes where ``headers`` say so."""
        encoded = "content-encoding" in headers  # the sizes are then those of the encoded bytes
        self.restart("" if encoded else _validator(headers))
        return int(headers["content-length"]) if "content-length" in headers and not encoded else None

    def resume(self, headers: Mapping[str, str]) -> int | None:
        """Go on with the rest. Returns the bytes of the whole file, or None where ``headers`` are of another piece."""
        match = _RANGE.fullmatch(headers.get("content-range", ""))
        same = not self._validator.startswith('"') or headers.get("etag", self._validator) == self._validator
        if match is None or int(match[1]) != self.size or not same:
            return None
        return int(match[2])

    def restart(self, validator: str = "") -> None:
        self._note.unlink(missing_ok=True)  # first: never beside bytes that it is not of
        self._path.write_bytes(b"")
        if validator:
            self._note.write_text(validator, encoding="ascii")
        self._validator, self._digest, self.size = validator, hashlib.sha256(), 0

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Give a function that adds bytes."""
        with self._path.open("ab") as file:

            def append(data: bytes) -> None:
                file.write(data)
                self._digest.update(data)
                self.size += len(data)

            yield append

    def finish(self) -> str:
        """Make it last. Returns the SHA-256."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        self._note.unlink(missing_ok=True)
        return self._digest.hexdigest()

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _validator(headers: Mapping[str, str]) -> str:
    """What tells whether the server's file has changed, where it sends pieces of it; else nothing."""
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
