"""Keep secrets out of logs, records, files and messages.

A token does not belong in the configuration. A URL may contain a secret (user and password, or the query of a signed
link): it is used as given, but shown without the secret. Neither belongs on the command line.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"://([^\s'\"<>|]*)")  # without the scheme, which would be slow to search for in long names

_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(:[0-9]*)?")

_PLAIN_PARAMETERS = re.compile(r"(dl|raw|download)=[01]|(dl|raw|download)=(true|false)")
"""Parameters without secrets that download links of Dropbox and others have in their query."""

_SECRET_KEY = re.compile(r"[^=]*(token|passw|secret|api_?key|access_?key|credential)[^=]*=", re.IGNORECASE)
_TOKEN = re.compile(r"\bhf_(?:(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}|[a-z]{12,})")
"""A token of the Hugging Face Hub has 34 letters and digits; a short word after hf_, as in hf_converted, is a name."""


def redact(text: str) -> str:
    """``text``, with user, password and query removed from each URL in it."""
    return _ADDRESS.sub(lambda match: "://" + _without_secrets(match[1]), text)


def _without_secrets(rest: str) -> str:
    rest, hash_sign, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):  # the beginning of a password that contains #, ? or /
        return "…"
    shown = host + slash + path
    if query:
        shown += "?" + (query if all(map(_PLAIN_PARAMETERS.fullmatch, query.split("&"))) else "…")
    # The fragment of an MLflow run's URL is a path.
    return shown + (f"#{fragment}" if hash_sign and fragment.startswith("/") else "")


def has_token(argument: str) -> bool:
    """Whether ``argument`` of a command line looks like a token or a password."""
    return bool(_SECRET_KEY.match(argument) or _TOKEN.search(argument))
