"""What is in a lock file: who holds it, and which folder its run was about to move aside when it was killed.

Whoever may write beside a model can make a file or a folder of any name there. So a lock file is written only where it
is a file with no other name, and believed only where it is the user's own and names a folder by its inode, which the
maker of an archive does not know.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from ast2hf.errors import OutputError, printable
from ast2hf.local_files import NoFileError, is_own, open_unshared, read_file, read_open, require_unshared

_MAX_SIZE = 4096
"""Bytes."""

_ASIDE = re.compile(r"^moved aside: ([0-9a-f]{12}) inode ([0-9]{1,20})$", re.MULTILINE)


def check(path: Path) -> None:
    """Raise OutputError where ``path`` leads to something else, which would be written to."""
    try:
        require_unshared(path)
    except NoFileError as error:
        raise OutputError(
            f"the lock {printable(path)} cannot be used ({error.strerror})", "remove it, or give another output_dir=…"
        ) from None


def note_holder(path: Path) -> None:
    """Write into ``path`` which process has it. Raises OSError."""
    _write(path, f"{_holder()}\n")


def note_moved_aside(path: Path, folder: Path, token: str) -> None:
    """Write into ``path``, and to the disk, that ``folder`` is now moved aside under ``token``. Raises OSError."""
    _write(path, f"{_holder()}\nmoved aside: {token} inode {folder.lstat().st_ino}\n", on_disk=True)


def was_moved_aside(path: Path, folder: Path, token: str) -> bool:
    """Whether ``path`` says that ``folder`` is what a run moved aside under ``token``."""
    with suppress(OSError), open_unshared(path, "rb") as file:
        found = _ASIDE.search(read_open(file, _MAX_SIZE).decode(errors="replace"))
        if found and is_own(file):
            return found[1] == token and int(found[2]) == folder.lstat().st_ino
    return False


def held(path: Path, target: Path) -> OutputError:
    """The error for ``target``, whose lock another run has."""
    holder = ""
    with suppress(OSError):
        holder = read_file(path, _MAX_SIZE).decode(errors="replace").partition("\n")[0]
    return OutputError(
        f"{printable(target)} is being written by another run ({printable(holder) or 'which has just begun'})",
        "wait for it to end, or give another output_dir=…",
    )


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _write(path: Path, text: str, on_disk: bool = False) -> None:
    with open_unshared(path, "r+b") as file:
        file.write(text.encode(errors="replace"))
        file.truncate()
        if on_disk:
            os.fsync(file.fileno())
