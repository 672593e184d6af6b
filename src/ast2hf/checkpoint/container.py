"""The two containers that ``torch.save`` has written, zip and legacy, reduced to one thing: a pickle and its records.

Nothing here runs, inflates or materialises anything of the file. Sizes are checked before anything is read.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ast2hf.checkpoint import pickles
from ast2hf.errors import InputError, printable

MAX_FILE = 16 << 30
"""Bytes. A base model has 0.35 GB; with its optimizer about 1 GB."""

MAX_PICKLE = 4 << 20
"""Bytes. The pickle of a base model, which holds names and shapes only, has about 30 KB."""

_BLOCK = 512 << 10

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


@dataclass(frozen=True)
class Record:
    """The bytes of one storage inside the file."""

    offset: int
    nbytes: int


@dataclass(frozen=True)
class Container:
    """A vetted file: its pickle (interpreted by :mod:`pickles`) and, by storage key, where each record lies."""

    format: str
    root: object
    records: Mapping[str, Record]


def open_container(path: Path, file: BinaryIO) -> Container:
    """Vet ``file`` (opened from ``path``) and interpret its pickle. Raises InputError that says what the file is."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputError(f"{printable(path)} is empty", "fetch it again")
    if size > MAX_FILE:
        raise InputError(f"{printable(path)} has {size:,} bytes, over the limit of {MAX_FILE:,}", "is it a checkpoint?")
    head = file.read(1024)
    if head.startswith(b"PK"):
        return _open_zip(path, file, size)
    if head[:1] == b"\x80":
        return _open_legacy(path, file, size)
    raise _foreign(path, head)


def _foreign(path: Path, head: bytes) -> InputError:
    name = printable(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return InputError(f"{name} is an HTML page, not a checkpoint", HTML_REMEDY)
    for magic, what, remedy in _FORMATS:
        if head.startswith(magic):
            return InputError(f"{name} is {what}, not a PyTorch checkpoint", remedy)
    if text.startswith((b"{", b"[")):
        return InputError(f"{name} is JSON text, not a checkpoint", "give the .pth file of the original AST code")
    if head[257:262] == b"ustar":
        return InputError(f"{name} is a tar archive, not a checkpoint", "unpack it and give the .pth file inside")
    if len(head) > 8 and head[8:9] == b"{":
        return InputError(f"{name} is a safetensors file", "give the .pth file of the original AST code")
    return InputError(
        f"{name} is not a PyTorch checkpoint (it begins with {head[:8].hex(' ')})",
        "give a .pth file, or fetch it again",
    )


# --- zip -------------------------------------------------------------------------------------------------------------


def _open_zip(path: Path, file: BinaryIO, size: int) -> Container:
    name = printable(path)
    again = "the file is incomplete or damaged: fetch it again"
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError) as error:
        raise InputError(f"{name} is an incomplete or damaged zip archive ({printable(error)})", again) from None
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise InputError(f"{name} has several entries of one name, which readers disagree on", "re-save the checkpoint")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise InputError(
                f"{name} has a compressed or encrypted entry ({printable(info.filename)}), unlike what torch.save writes",
                "unpack it, or re-save the state dict with torch.save",
            )
    if sum(info.file_size for info in infos) > size:
        raise InputError(f"the entries of {name} overlap or exceed the file", again)
    pickled = [info for info in infos if info.filename.split("/")[-1] == "data.pkl"]
    if any(n.split("/")[-1] == "constants.pkl" or "/code/" in n for n in names):
        raise InputError(
            f"{name} is a TorchScript archive", "save the state dict: torch.save(model.state_dict(), path)"
        )
    if len(pickled) != 1:
        raise InputError(
            f"{name} is a zip archive with {len(pickled)} data.pkl instead of one", "give a file that torch.save wrote"
        )
    prefix = pickled[0].filename.removesuffix("data.pkl")
    records: dict[str, Record] = {}
    for info in infos:
        record = Record(_data_offset(file, info, size, again), info.file_size)
        if _crc32(file, record) != info.CRC:
            raise InputError(f"{name}: checksum (CRC) of {printable(info.filename)} is wrong", again)
        if info.filename.startswith(prefix + "data/"):
            records[info.filename.removeprefix(prefix + "data/")] = record
        if info.filename == prefix + "byteorder" and _read(file, record, 16) != b"little":
            raise InputError(f"{name} was saved on a big-endian machine", "re-save it on a little-endian one")
    if pickled[0].file_size > MAX_PICKLE:
        raise InputError(
            f"the pickle of {name} has {pickled[0].file_size:,} bytes, over the limit of {MAX_PICKLE:,}",
            "save the state dict alone: torch.save(model.state_dict(), path)",
        )
    data = _read(file, Record(_data_offset(file, pickled[0], size, again), pickled[0].file_size), MAX_PICKLE)
    root, end = pickles.interpret(data)
    if end != len(data):
        raise InputError(f"the pickle of {name} is followed by {len(data) - end} more bytes", "re-save the checkpoint")
    return Container("zip", root, records)


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo, size: int, remedy: str) -> int:
    """Where the bytes of an entry begin: behind its local header, whose name and extra field have their own lengths."""
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise InputError(f"entry {printable(info.filename)} has no local header", remedy)
    offset = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if offset + info.file_size > size:
        raise InputError(f"entry {printable(info.filename)} reaches beyond the end of the file", remedy)
    return offset


def blocks(fd: int, record: Record, buffer: bytearray) -> Iterator[memoryview]:
    """The bytes of ``record``, in pieces of at most ``buffer``'s size. Raises InputError where the file ends early."""
    view = memoryview(buffer)
    offset, end = record.offset, record.offset + record.nbytes
    while offset < end:
        count = os.preadv(fd, [view[: min(len(view), end - offset)]], offset)
        if count == 0:
            raise InputError("the checkpoint became shorter while it was read", "leave the file alone and try again")
        yield view[:count]
        offset += count


def _crc32(file: BinaryIO, record: Record) -> int:
    from zlib_ng import zlib_ng  # several times as fast as zlib: 350 MB in 0.04 s

    crc = 0
    for block in blocks(file.fileno(), record, bytearray(_BLOCK)):
        crc = zlib_ng.crc32(block, crc)
    return crc


def _read(file: BinaryIO, record: Record, limit: int) -> bytes:
    return b"".join(
        bytes(b) for b in blocks(file.fileno(), Record(record.offset, min(record.nbytes, limit)), bytearray(_BLOCK))
    )


# --- legacy ----------------------------------------------------------------------------------------------------------

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001


def _open_legacy(path: Path, file: BinaryIO, size: int) -> Container:
    """Five pickles (magic number, protocol, system, the object, the storage keys), then the storages one by one.

    Each storage is its count of elements (8 bytes) and its bytes. Source: ``torch.serialization._legacy_save``.
    """
    name = printable(path)
    again = "the file is incomplete or damaged: fetch it again"
    file.seek(0)
    head = file.read(MAX_PICKLE)
    position = 0
    loaded: list[object] = []
    for i in range(5):
        value, length = pickles.interpret(head[position:])
        position += length
        loaded.append(value)
        if i == 0 and value != _MAGIC_NUMBER:
            raise InputError(
                f"{name} is a bare pickle, not a file of torch.save",
                "save the state dict: torch.save(model.state_dict(), path)",
            )
    _, protocol, system, root, keys = loaded
    if protocol != _PROTOCOL_VERSION or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise InputError(f"{name} has an unknown variant of the legacy format", "re-save it with a newer torch.save")
    storages = {s.key: s for s in pickles.storages(root)}
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages) or len(keys) != len(storages):
        raise InputError(f"{name} lists other storages than its tensors use", "re-save the checkpoint")
    records: dict[str, Record] = {}
    for key in map(str, keys):
        storage = storages[key]
        count = os.pread(file.fileno(), 8, position)
        record = Record(position + 8, storage.nbytes)
        if len(count) < 8 or record.offset + record.nbytes > size:
            raise InputError(f"{name} is incomplete: storage {printable(key)} ends behind the file", again)
        if int.from_bytes(count, "little") != storage.numel:
            raise InputError(f"{name}: storage {printable(key)} has another size than its tensors say", again)
        records[key] = record
        position = record.offset + record.nbytes
    if position != size:
        raise InputError(f"{name} has {size - position:,} bytes more than its tensors need", again)
    return Container("legacy", root, records)
