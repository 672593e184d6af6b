"""Formatting of the run's log."""

from __future__ import annotations

import logging
from typing import Any

from ast2hf.errors import printable

_SHOWN = 10_000
"""Characters of one line."""


class Formatter(logging.Formatter):
    """Removes secrets, and escapes control characters, with which an untrusted name could forge lines or colours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = printable(record.message, _SHOWN)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(printable(line, _SHOWN) for line in super().formatException(ei).splitlines())
