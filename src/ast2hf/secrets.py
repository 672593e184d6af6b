"""Secrets stay where they are: none gets into a log, a record, a file or a message.

A token has no place in the configuration. An address may hold a secret (user and password, or the query of a signed
link): it is used as it is given, and shown without. Neither has a place on the command line.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"://([^\s'\"<>|]*)")  # without the scheme before it: looking for that is slow in long names

_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(:[0-9]*)?")

_PLAIN_PARAMETERS = re.compile(r"(dl|raw|download)=[01]|(dl|raw|download)=(true|false)")
"""What download links of Dropbox and others have in their query, and no secret."""

_SECRET_KEY = re.compile(r"[^=]*(token|passw|secret|api_?key|access_?key|credential)[^=]*=", re.IGNORECASE)
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
"""A token of the Hugging Face Hub."""


def redact(text: str) -> str:
    """``text`` with each address in it without user, password, and what its query holds."""
    return _ADDRESS.sub(lambda match: "://" + _without_secrets(match[1]), text)


def _without_secrets(rest: str) -> str:
    rest, hash_sign, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):  # the beginning of a password that has one of the signs above
        return "…"
    shown = host + slash + path
    if query:
        shown += "?" + (query if all(map(_PLAIN_PARAMETERS.fullmatch, query.split("&"))) else "…")
    # The page of an MLflow run is named by a path after the sign.
    return shown + (f"#{fragment}" if hash_sign and fragment.startswith("/") else "")


def has_token(argument: str) -> bool:
    """Whether a command line's ``argument`` gives what looks like a token or a password."""
    return bool(_SECRET_KEY.match(argument) or _TOKEN.search(argument))
