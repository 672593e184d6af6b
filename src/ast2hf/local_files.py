"""Files that the user names, and those that come with the package."""

from __future__ import annotations

import secrets
from pathlib import Path

from ast2hf.errors import InputError, printable


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


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees all of it or what was there before, never a part.

    Raises OSError; then nothing is left behind.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: str, what: str, remedy: str) -> bytes:
    """The content of ``path``. ``what`` and ``remedy`` serve the InputError."""
    try:
        return expand(path).read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(f"{what} {printable(path)}", error, remedy) from None


def unreadable(what: str, error: OSError | ValueError, remedy: str) -> InputError:
    """ValueError is what pathlib raises for a path with a NUL."""
    why = error.strerror if isinstance(error, OSError) else error
    return InputError(f"{what} cannot be read ({why})", remedy)
