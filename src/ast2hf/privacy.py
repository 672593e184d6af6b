"""Paths of the machine stay on it: what is published, recorded or sent names a local file by its name alone."""

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
# A path does not begin after a word or a bracket: a/b, N/A, (a)/b, </td>; nor in an address of MLflow's registry.
_POSIX = rf"(?<!models:)(?<![\w.~/\\)\]<%@+-])(?:~[\w.-]*)?/[^\s'\"<>|/]{_REST}"

_LOCAL_SCHEMES = ("file", "sqlite")
_LOCAL_URL = rf"(?<![A-Za-z0-9+.-])(?:{'|'.join(_LOCAL_SCHEMES)})(?:\+\w+)?://+?"
"""Up to the path, which has a slash of its own."""

_DATA = ("data.path", "data.labels", "data.ids")
_FILES = ("checkpoint", "labels", "audio", "output_dir", "folder", "tracking.uri", *_DATA)
_FOLDERS = "paths."
"""Settings that name a file or a folder of the machine, and the beginning of others that do."""

_PUNCTUATION = ".,:;!?)]}…"


def without_paths(text: str, known: Sequence[str] = ()) -> str:
    """``text`` with each path of the machine in it cut to its last name; addresses stay as they are.

    Absolute paths are recognised, those in a home directory (``~/…``) and those of Windows. ``known``: paths that may
    occur in ``text`` and cannot be recognised, because they are relative or have spaces; as written there, so both as
    the user gave them and in full.
    """
    mine = sorted({path for path in known if re.search(r"[/\\]", path)}, key=len, reverse=True)
    # A path below a known one is cut as well; a longer name that begins like it is another path.
    exact = [rf"{re.escape(path.rstrip('/'))}(?:[/\\]{_REST}|(?![\w-]))" for path in mine]
    urls = "|".join([*(_LOCAL_URL + path for path in exact), _URL])
    paths = [r"(?<![\w.~:/\\-])" + path for path in exact]
    pattern = "|".join([f"(?P<url>{urls})", *paths, _QUOTED, _WINDOWS, _POSIX])
    return re.sub(pattern, lambda match: _of_url(match[0]) if match["url"] else name(match[0]), text)


def local_paths(config: Config) -> list[str]:
    """What an error may name and a record must not: the paths that the user gave, as given and in full."""
    given = [config.checkpoint, config.labels, config.audio, config.output_dir, config.folder]
    given += [config.paths.outputs, config.paths.cache, config.data.path, config.data.labels, config.data.ids]
    local = [path for path in given if path and "://" not in path]
    return [*local, *(os.path.abspath(Path(path).expanduser()) for path in local if not path.startswith("~"))]  # noqa: PTH100


def setting(key: str, value: str) -> str:
    """``value`` of the setting ``key``: of a file or folder of the machine its name, which may have spaces."""
    if key not in _FILES and not key.startswith(_FOLDERS):
        return without_paths(value)
    return _of_url(value) if "://" in value else name(value)


def name(path: str) -> str:
    """The last name of ``path``, of either system, with the punctuation that follows it in a sentence."""
    bare = path.rstrip(_PUNCTUATION + "/\\")
    last = re.split(r"[/\\]", bare)[-1]
    return last + path[len(bare) :].strip("/\\") if last else path


def _of_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    local = scheme.lower().partition("+")[0] in _LOCAL_SCHEMES
    return f"{scheme}:///{name(rest)}" if local and rest.strip("/") else url
