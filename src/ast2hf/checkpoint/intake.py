"""The first look at a file: a checkpoint in one of its two formats, or what it is instead.

Nothing here runs, inflates or materialises anything of the file. Sizes are checked before anything is read.
"""

from __future__ import annotations

import os
import pickletools
from pathlib import Path
from typing import BinaryIO

from ast2hf.checkpoint.container import MAX_FILE, RESAVE, Container
from ast2hf.checkpoint.legacy_format import open_legacy
from ast2hf.checkpoint.zip_format import open_zip
from ast2hf.errors import InputError, printable

_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "unpack it and give the .pth file inside"),
    (b"BZh", "a bzip2 file", "unpack it and give the .pth file inside"),
    (b"\xfd7zXZ", "an xz file", "unpack it and give the .pth file inside"),
    (b"\x93NUMPY", "a NumPy array", "give the .pth file of the original AST code"),
    (b"\x89HDF", "an HDF5 file", "give the .pth file of the original AST code"),
    (b"fLaC", "a FLAC recording", "give a recording as audio=…, the checkpoint as checkpoint=…"),
    (b"RIFF", "a WAV recording", "give a recording as audio=…, the checkpoint as checkpoint=…"),
)

HTML_REMEDY = (
    "the link shows a page instead of the file: for Dropbox let it end in dl=1, or open it in a browser, save the file "
    "and give its path as checkpoint=…"
)


def vet(path: Path) -> None:
    """Raise InputError where ``path`` is not a whole checkpoint, and OSError where it cannot be read."""
    with path.open("rb", buffering=0) as file:
        open_container(path, file)


def open_container(path: Path, file: BinaryIO) -> Container:
    """Vet ``file`` (opened from ``path``) and interpret its pickle. Raises InputError that says what the file is."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputError(f"{printable(path)} is empty", "fetch it again")
    if size > MAX_FILE:
        raise InputError(f"{printable(path)} has {size:,} bytes, over the limit of {MAX_FILE:,}", "is it a checkpoint?")
    head = os.pread(file.fileno(), 1024, 0)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:  # first: the length may look like any magic
        raise InputError(f"{printable(path)} is a safetensors file", "give the .pth file of the original AST code")
    if head.startswith(b"PK"):
        return open_zip(path, file, size)
    if head.startswith(b"\x80"):
        return open_legacy(path, file, size)
    raise _foreign(path, head)


def _foreign(path: Path, head: bytes) -> InputError:
    name = printable(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return InputError(f"{name} is an HTML page, not a checkpoint", HTML_REMEDY)
    for magic, what, remedy in _FORMATS:
        if head.startswith(magic):
            return InputError(f"{name} is {what}, not a PyTorch checkpoint", remedy)
    if head[257:262] == b"ustar":
        return InputError(f"{name} is a tar archive, not a checkpoint", "unpack it and give the .pth file inside")
    if text.startswith((b"{", b"[")):
        return InputError(f"{name} is JSON text, not a checkpoint", "give the .pth file of the original AST code")
    if found := _first_global(head):
        return InputError(f"{name} is a bare pickle that refers to {printable(found)}, and was not run", RESAVE)
    return InputError(
        f"{name} is not a PyTorch checkpoint (it begins with {head[:8].hex(' ')})",
        "give a .pth file, or fetch it again",
    )


def _first_global(head: bytes) -> str | None:
    """What a pickle of protocol 0 or 1, which has no magic, refers to first."""
    try:
        for opcode, argument, _ in pickletools.genops(head):
            if opcode.name in ("GLOBAL", "INST"):
                return str(argument).replace(" ", ".")
    except Exception:  # it raises whatever the bytes lead to
        return None
    return None
