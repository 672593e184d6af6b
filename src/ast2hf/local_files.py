"""Files named by the user, files in the cache, and files that come with the package.

Any path that others may control is opened with :func:`open_file` or :func:`open_unshared`: otherwise a pipe would
block, a device could be read without end, and a link could redirect writes to another file.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from ast2hf.errors import InputError, printable

_NO_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)
"""What can be at a path instead of a regular file."""

_CAREFULLY = os.O_NONBLOCK | os.O_NOCTTY  # does not block, even if a pipe has replaced the file since it was checked

_File = TypeVar("_File", bound=IO[Any])

_BLOCK = 1 << 20


class NoFileError(OSError):
    """The path does not lead to a regular file, or the file has other hard links; ``strerror`` says which."""


def conf_folder() -> Path:
    """The configuration: part of the package in a wheel, ``conf/`` of the repository in a clone."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def expand(path: str) -> Path:
    """``path`` with ``~`` filled in. Raises InputError if the user does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"unknown user in {printable(path)}", "use an absolute path") from None


def is_folder(path: Path) -> bool:
    """Whether ``path`` is an accessible folder; pathlib would raise OSError for one that cannot be looked up."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: Path) -> bool:
    """Whether something accessible is at ``path``; likewise."""
    return os.path.exists(path)  # noqa: PTH110


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees either the old content or all of the new, never a part.

    Raises OSError; then nothing is left behind.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_file(path: Path) -> io.FileIO:
    """Open ``path``, or the file that it links to, for reading, unbuffered. Never blocks.

    Raises NoFileError if it is not a regular file, other OSErrors like :func:`open`, ValueError for a name with a NUL.
    """
    _require(path.stat(), alone=False)  # before opening, which alone could activate a device
    return _checked(io.FileIO(path, "r", opener=_opener(0)), alone=False)


def open_unshared(path: Path, mode: str) -> IO[Any]:
    """Open ``path`` itself, refusing links and files with other hard links, which may belong to someone else.

    ``mode``: as for :func:`open`, binary; not ``w``, which would empty the file before it is checked. Raises OSError,
    including NoFileError.
    """
    if "w" in mode:
        raise ValueError("mode w would empty the file before it is checked")
    if "x" not in mode:
        require_unshared(path)
    return _checked(open(path, mode, opener=_opener(os.O_NOFOLLOW)), alone=True)


def require_unshared(path: Path) -> None:
    """Raise NoFileError if ``path`` exists but is not a regular file, or has other hard links."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    _require(found, alone=True)


def is_own(file: IO[Any]) -> bool:
    """Whether the open ``file`` belongs to the user of this process."""
    return os.fstat(file.fileno()).st_uid == os.geteuid()


def read_file(path: Path, limit: int) -> bytes:
    """The content of ``path``, at most ``limit`` bytes. Raises OSError, ValueError for a name with a NUL."""
    with open_file(path) as file:
        return read_open(file, limit)


def read_open(file: IO[bytes], limit: int) -> bytes:
    """The rest of ``file``, at most ``limit`` bytes. Raises OSError."""
    content = io.BytesIO()
    while block := file.read(_BLOCK):  # not by its size: files in /proc claim 0
        content.write(block)
        if content.tell() > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes")
    return content.getvalue()


def read(path: str | Path, what: str, remedy: str, limit: int) -> bytes:
    """The content of ``path``, at most ``limit`` bytes. ``what`` and ``remedy`` are used in the InputError."""
    try:
        return read_file(expand(str(path)), limit)
    except (OSError, ValueError) as error:
        raise unreadable(f"{what} {printable(path)}", error, remedy) from None


def decoded(content: bytes, name: str, remedy: str) -> str:
    """The text in ``content``: UTF-8, or UTF-16 with a byte order mark. InputError has the line and ``remedy``."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{printable(name)}, line {line}: not UTF-8 text", remedy) from None


def unreadable(what: str, error: OSError | ValueError, remedy: str) -> InputError:
    """The error for a file that cannot be read; pathlib raises ValueError for a path with a NUL."""
    why = error.strerror if isinstance(error, OSError) else error
    return InputError(f"{what} cannot be read ({why})", remedy)


def _opener(flags: int) -> Callable[[str, int], int]:
    return lambda path, given: os.open(path, given | flags | _CAREFULLY, 0o666)


def _checked(file: _File, alone: bool) -> _File:
    try:
        _require(os.fstat(file.fileno()), alone)
    except OSError:
        file.close()
        raise
    return file


def _require(found: os.stat_result, alone: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _NO_FILES if is_kind(found.st_mode)), "something else")
        raise NoFileError(errno.EINVAL, f"it is {kind}, not a regular file")
    if alone and found.st_nlink > 1:
        raise NoFileError(errno.EMLINK, "the file has other hard links")
