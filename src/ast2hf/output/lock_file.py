"""The contents of a lock file: who holds it, and which folder its run was about to move aside.

Whoever can write beside a model can create a file or folder with any name there. So a lock file is written only if it
is a regular file without other hard links, and trusted only if it belongs to the user and identifies a folder by its
inode, which the creator of an archive cannot know.
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
    """Raise OutputError if ``path`` leads to another file, which would then be overwritten."""
    try:
        require_unshared(path)
    except NoFileError as error:
        raise OutputError(
            f"the lock {printable(path)} cannot be used ({error.strerror})", "remove it, or set another output_dir=…"
        ) from None


def note_holder(path: Path) -> None:
    """Record in ``path`` which process holds it. Raises OSError."""
    _write(path, f"{_holder()}\n")


def note_moved_aside(path: Path, folder: Path, token: str) -> None:
    """Record in ``path``, synced to disk, that ``folder`` is being moved aside under ``token``. Raises OSError."""
    _write(path, f"{_holder()}\nmoved aside: {token} inode {folder.lstat().st_ino}\n", on_disk=True)


def was_moved_aside(path: Path, folder: Path, token: str) -> bool:
    """Whether, according to ``path``, a run moved ``folder`` aside under ``token``."""
    with suppress(OSError), open_unshared(path, "rb") as file:
        found = _ASIDE.search(read_open(file, _MAX_SIZE).decode(errors="replace"))
        if found and is_own(file):
            return found[1] == token and int(found[2]) == folder.lstat().st_ino
    return False


def held(path: Path, target: Path) -> OutputError:
    """The error for ``target``, whose lock is held by another run."""
    holder = ""
    with suppress(OSError):
        holder = read_file(path, _MAX_SIZE).decode(errors="replace").partition("\n")[0]
    return OutputError(
        f"{printable(target)} is being written by another run ({printable(holder) or 'just started'})",
        "wait for it to finish, or set another output_dir=…",
    )


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _write(path: Path, text: str, on_disk: bool = False) -> None:
    with open_unshared(path, "r+b") as file:
        file.write(text.encode(errors="replace"))
        file.truncate()
        if on_disk:
            os.fsync(file.fileno())
