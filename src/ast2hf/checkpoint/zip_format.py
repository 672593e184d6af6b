"""The zip archive that ``torch.save`` writes since 1.6: ``data.pkl`` and one stored entry ``data/KEY`` per storage."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import BinaryIO

from ast2hf.checkpoint import pickles
from ast2hf.checkpoint.container import HINT_REDOWNLOAD, HINT_RESAVE, MAX_PICKLE, ByteRange, Container, blocks, read
from ast2hf.errors import InputError, printable

_MAX_DIRECTORY = 1 << 20
"""Bytes of the list of entries; zipfile needs ten times as much memory for it. A base model has about 10 KB."""


def open_zip(path: Path, file: BinaryIO, size: int) -> Container:
    """Validate the archive and its checksums, and read its pickle without running it. Raises InputError."""
    name = printable(path)
    infos = _entries(name, file, size)
    pickled = _pickle_entry(name, infos)
    prefix = pickled.filename.removesuffix("data.pkl")
    places: dict[str, ByteRange] = {}
    for info in infos:
        place = _place(file, info, size)
        if _crc32(file, place) != info.CRC:
            raise InputError(f"{name}: checksum (CRC) of {printable(info.filename)} is wrong", HINT_REDOWNLOAD)
        if info.filename.startswith(prefix):
            places[info.filename.removeprefix(prefix)] = place
    order = places.get("byteorder")
    if order is not None and read(file.fileno(), ByteRange(order.offset, min(order.nbytes, 16))) != b"little":
        raise InputError(f"{name} was saved on a big-endian machine", "re-save it on a little-endian one")
    found = pickles.unpickle_restricted(bytes(read(file.fileno(), places["data.pkl"])))
    if found.end != pickled.file_size:
        raise InputError(f"the pickle of {name} is followed by {pickled.file_size - found.end} more bytes", HINT_RESAVE)
    storages = {key.removeprefix("data/"): place for key, place in places.items() if key.startswith("data/")}
    return Container("zip", found.root, found.tensors, storages)


def _entries(name: str, file: BinaryIO, size: int) -> list[zipfile.ZipInfo]:
    try:
        infos = zipfile.ZipFile(_DirectoryReader(name, file)).infolist()
    except InputError:
        raise
    except Exception as error:  # damage makes zipfile raise much more than BadZipFile
        raise InputError(
            f"{name} is an incomplete or damaged zip archive ({printable(error)})", HINT_REDOWNLOAD
        ) from None
    names = [info.filename for info in infos]
    if any(n.endswith("constants.pkl") or "/code/" in n for n in names):
        raise InputError(f"{name} is a TorchScript archive", HINT_RESAVE)
    if len(set(names)) != len(names):
        raise InputError(f"{name} has several entries of the same name, which readers resolve differently", HINT_RESAVE)
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise InputError(
                f"{name} has an entry that is compressed or encrypted, unlike those of torch.save "
                f"({printable(info.filename)})",
                f"unpack it, or {HINT_RESAVE}",
            )
    if sum(info.file_size for info in infos) > size:
        raise InputError(f"the entries of {name} overlap or exceed the file", HINT_REDOWNLOAD)
    return infos


class _DirectoryReader:
    """The part of a file object that zipfile needs to list the entries; it reads the list in one piece."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int = -1, /) -> bytes:
        if size > _MAX_DIRECTORY:
            raise InputError(
                f"the directory of {self.name} has {size:,} bytes, over the limit of {_MAX_DIRECTORY:,}", HINT_RESAVE
            )
        return self._read(size)


def _pickle_entry(name: str, infos: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    found = [info for info in infos if info.filename.split("/")[-1] == "data.pkl"]
    if len(found) != 1:
        raise InputError(
            f"{name} is a zip archive with {len(found)} data.pkl entries instead of one",
            "use a file written by torch.save",
        )
    if found[0].file_size > MAX_PICKLE:
        raise InputError(
            f"the pickle of {name} has {found[0].file_size:,} bytes, over the limit of {MAX_PICKLE:,}",
            HINT_RESAVE,
        )
    return found[0]


def _place(file: BinaryIO, info: zipfile.ZipInfo, size: int) -> ByteRange:
    """The bytes of an entry: they follow its local header, whose name and extra field have lengths of their own."""
    header = os.pread(file.fileno(), 30, info.header_offset) if 0 <= info.header_offset < size else b""
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise InputError(f"entry {printable(info.filename)} has no local header", HINT_REDOWNLOAD)
    offset = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if offset + info.file_size > size:
        raise InputError(f"entry {printable(info.filename)} extends past the end of the file", HINT_REDOWNLOAD)
    return ByteRange(offset, info.file_size)


def _crc32(file: BinaryIO, place: ByteRange) -> int:
    from zlib_ng import zlib_ng  # several times as fast as zlib: 350 MB in 0.04 s

    crc = 0
    for block in blocks(file.fileno(), place):
        crc = zlib_ng.crc32(block, crc)
    return crc
