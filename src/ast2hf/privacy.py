"""Paths of the machine stay on it: what is published, recorded or sent names a local file by its name alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

_REST = r"[^\s'\"<>|]*"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,30}"

_URL = rf"(?<![A-Za-z0-9+.-]){_SCHEME}://{_REST}"
_QUOTED = r"(?<=['\"])(?:(?:~[^/'\"\s]*)?/|[A-Za-z]:[\\/])[^'\"\n]*(?=['\"])"
_WINDOWS = rf"(?<!\w)[A-Za-z]:[\\/]{_REST}|(?<![\w\\])\\\\[\w.-]+\\{_REST}"
# A path does not begin after a word or a bracket: a/b, N/A, (a)/b, </td>; nor in an address of MLflow's registry.
_POSIX = rf"(?<!models:)(?<![\w.~/\\)\]<%@+-])(?:~[\w.-]*)?/[^\s'\"<>|/]{_REST}"

_LOCAL_SCHEMES = ("file", "sqlite")
_PUNCTUATION = ".,:;!?)]}…"


def without_paths(text: str, known: Sequence[str] = ()) -> str:
    """``text`` with each path of the machine in it cut to its last name; addresses stay as they are.

    Absolute paths are recognised, those in a home directory (``~/…``) and those of Windows. ``known``: paths that may
    occur in ``text`` and cannot be recognised, because they are relative or have spaces; as written there, so both as
    the user gave them and in full.
    """
    mine = sorted({path for path in known if re.search(r"[/\\]", path)}, key=len, reverse=True)
    # A path below a known one is cut as well; a longer name that begins like it is another path.
    exact = [rf"(?<![\w.~:/\\-]){re.escape(path.rstrip('/'))}(?:[/\\]{_REST}|(?![\w-]))" for path in mine]
    pattern = "|".join([f"(?P<url>{_URL})", *exact, _QUOTED, _WINDOWS, _POSIX])
    return re.sub(pattern, lambda match: _of_url(match[0]) if match["url"] else name(match[0]), text)


def name(path: str) -> str:
    """The last name of ``path``, of either system, with the punctuation that follows it in a sentence."""
    bare = path.rstrip(_PUNCTUATION + "/\\")
    last = re.split(r"[/\\]", bare)[-1]
    return last + path[len(bare) :].strip("/\\") if last else path


def _of_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    local = scheme.lower().partition("+")[0] in _LOCAL_SCHEMES
    return f"{scheme}:///{name(rest)}" if local and rest.strip("/") else url
