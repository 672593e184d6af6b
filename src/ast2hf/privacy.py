"""Keep local paths on the machine: whatever is published, recorded or sent refers to a local file by name only."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ast2hf.config import Config

_REST = r"[^\s'\"<>|]*"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,30}"

_URL = rf"(?<![A-Za-z0-9+.-]){_SCHEME}://{_REST}"
_QUOTED = r"(?<=['\"])(?:(?:~[^/'\"\s]*)?/|[A-Za-z]:[\\/])[^'\"\n]*(?=['\"])"
_WINDOWS = rf"(?<!\w)[A-Za-z]:[\\/]{_REST}|(?<![\w\\])\\\\[\w.-]+\\{_REST}"
# A path does not begin after a word or a bracket: a/b, N/A, (a)/b, </td>; nor in a URI of MLflow's registry.
_POSIX = rf"(?<!models:)(?<![\w.~/\\)\]<%@+-])(?:~[\w.-]*)?/[^\s'\"<>|/]{_REST}"

_LOCAL_SCHEMES = ("file", "sqlite")
_LOCAL_URL = rf"(?<![A-Za-z0-9+.-])(?:{'|'.join(_LOCAL_SCHEMES)})(?:\+\w+)?://+?"
"""Up to the path, which begins with another slash."""

_DATA = ("data.path", "data.labels", "data.ids")
_FILES = ("checkpoint", "labels", "audio", "output_dir", "folder", "tracking.uri", *_DATA)
_FOLDERS = "paths."
"""Settings that name a local file or folder, and the prefix of others that do."""

_PUNCTUATION = ".,:;!?)]}…"


def without_paths(text: str, known: Sequence[str] = ()) -> str:
    """``text`` with each local path in it cut to its last name; URLs remain unchanged.

    Absolute paths are recognised, including those in a home directory (``~/…``) and on Windows. ``known``: paths that
    may occur in ``text`` but cannot be recognised, because they are relative or contain spaces; in the form in which
    they may occur, so both as the user gave them and in full.
    """
    mine = sorted({path for path in known if re.search(r"[/\\]", path)}, key=len, reverse=True)
    # A path below a known one is cut, too; a longer name with the same beginning is another path.
    exact = [rf"{re.escape(path.rstrip('/'))}(?:[/\\]{_REST}|(?![\w-]))" for path in mine]
    urls = "|".join([*(_LOCAL_URL + path for path in exact), _URL])
    paths = [r"(?<![\w.~:/\\-])" + path for path in exact]
    pattern = "|".join([f"(?P<url>{urls})", *paths, _QUOTED, _WINDOWS, _POSIX])
    return re.sub(pattern, lambda match: _of_url(match[0]) if match["url"] else name(match[0]), text)


def local_paths(config: Config) -> list[str]:
    """The paths that the user gave, as given and in full; errors may contain them, records must not."""
    given = [config.checkpoint, config.labels, config.audio, config.output_dir, config.folder]
    given += [config.paths.outputs, config.paths.cache, config.data.path, config.data.labels, config.data.ids]
    local = [path for path in given if path and "://" not in path]
    expanded = [os.path.expanduser(path) for path in local]  # noqa: PTH111  unlike Path's, it never raises an error
    return [*local, *expanded, *(form(path) for path in expanded for form in (os.path.abspath, _absolute))]


def _absolute(path: str) -> str:
    """In full, with ``..`` as given, as errors show it."""
    return str(Path(path).absolute())


def setting(key: str, value: str) -> str:
    """``value`` of the setting ``key``: for a local file or folder only its name, which may contain spaces."""
    if key not in _FILES and not key.startswith(_FOLDERS):
        return without_paths(value)
    return _of_url(value) if "://" in value else name(value)


def name(path: str) -> str:
    """The last name of ``path`` (POSIX or Windows), with the punctuation that follows it in a sentence."""
    bare = path.rstrip(_PUNCTUATION + "/\\")
    last = re.split(r"[/\\]", bare)[-1]
    return last + path[len(bare) :].strip("/\\") if last else path


def _of_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    local = scheme.lower().partition("+")[0] in _LOCAL_SCHEMES
    return f"{scheme}:///{name(rest)}" if local and rest.strip("/") else url
