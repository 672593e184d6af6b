"""Find out what a file is: one of the two formats of ``torch.save``, safetensors, or something else.

Nothing in the file is executed or inflated. Sizes are checked before anything is read.
"""

from __future__ import annotations

import os
import pickletools
from pathlib import Path
from typing import BinaryIO

from ast2hf.checkpoint.container import HINT_RESAVE, MAX_FILE, Container
from ast2hf.checkpoint.legacy_format import open_legacy
from ast2hf.checkpoint.safetensors_format import open_safetensors
from ast2hf.checkpoint.zip_format import open_zip
from ast2hf.errors import InputError, printable

_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", "unpack it and use the .pth file inside"),
    (b"BZh", "a bzip2 file", "unpack it and use the .pth file inside"),
    (b"\xfd7zXZ", "an xz file", "unpack it and use the .pth file inside"),
    (b"\x93NUMPY", "a NumPy array", "use a .pth file of the original AST code"),
    (b"\x89HDF", "an HDF5 file", "use a .pth file of the original AST code"),
    (b"fLaC", "a FLAC recording", "set audio=… to the recording and checkpoint=… to the checkpoint"),
    (b"RIFF", "a WAV recording", "set audio=… to the recording and checkpoint=… to the checkpoint"),
)

HTML_REMEDY = (
    "use a direct link (for Dropbox: with dl=1 at the end), or download the file in a browser and set checkpoint=PATH"
)


def open_container(path: Path, file: BinaryIO) -> Container:
    """Validate ``file`` (opened from ``path``) and read its pickle without running it.

    Raises InputError, saying what the file is instead.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputError(f"{printable(path)} is empty", "download it again")
    if size > MAX_FILE:
        raise InputError(
            f"{printable(path)} has {size:,} bytes, over the limit of {MAX_FILE:,}", "check that it is a checkpoint"
        )
    head = os.pread(file.fileno(), 1024, 0)
    # safetensors first: the length at its beginning may look like any magic number.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return open_safetensors(path, file, size)
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
        return InputError(f"{name} is a tar archive, not a checkpoint", "unpack it and use the .pth file inside")
    if text.startswith((b"{", b"[")):
        return InputError(f"{name} is JSON text, not a checkpoint", "use a .pth file of the original AST code")
    if found := _first_global(head):
        return InputError(
            f"{name} is a bare pickle that refers to {printable(found)} (nothing was executed)", HINT_RESAVE
        )
    return InputError(
        f"{name} is not a PyTorch checkpoint (it begins with {head[:8].hex(' ')})",
        "use a .pth file, or download it again",
    )


def _first_global(head: bytes) -> str | None:
    """The first global in a pickle of protocol 0 or 1, which have no magic number; None for other data."""
    try:
        for opcode, argument, _ in pickletools.genops(head):
            if opcode.name in ("GLOBAL", "INST"):
                return str(argument).replace(" ", ".")
    except Exception:  # pickletools raises anything on other data
        return None
    return None
