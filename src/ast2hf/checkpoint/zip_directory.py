"""The entries of a zip archive, read so strictly that no two readers can find different files in it.

Every byte of the file has exactly one meaning: the entries, one after the other from the first byte, in the order of
the directory; the directory; the end records. torch.save writes such archives (miniz in torch 1.6 to 2.13, always with
the zip64 end record), and so does Python's zipfile. The format allows other things, which some readers honour and
others ignore; all of them are refused: gaps, comments, extra fields, other disks, names that differ only in case.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ast2hf.checkpoint.container import HINT_REDOWNLOAD, HINT_RESAVE, ByteRange
from ast2hf.errors import InputError, printable

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")

_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
"""Placeholders for a number that is too large for its field; the number itself is then in an 8-byte zip64 field."""

_DESCRIPTOR, _UTF8 = 1 << 3, 1 << 11
"""Flags: the checksum and the sizes follow the data; the name is in UTF-8."""

_DIRECTORY_ATTRIBUTE = 0x10

_MAX_VERSION = 45
"""Version needed to read an entry that may be larger than 4 GB."""

_MAX_DIRECTORY = 1 << 20
"""Bytes of the list of entries, about 10 KB for a base model."""


class Entry(NamedTuple):
    """One line of the directory. ``name``: its bytes, as Latin-1. ``header``: offset of the local header."""

    name: str
    version: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    disk: int
    attributes: int
    header: int
    extra: int
    comment: int


def read_directory(name: str, fd: int, size: int) -> tuple[list[Entry], int]:
    """The entries, not yet checked, and the offset of the directory, where the last entry must end.

    ``name``: of the file, printable. Raises InputError if the end records or the directory are invalid.
    """
    place, count = _end_records(name, fd, size)
    if place.nbytes > _MAX_DIRECTORY:
        raise InputError(
            f"the directory of {name} has {place.nbytes:,} bytes, over the limit of {_MAX_DIRECTORY:,}", HINT_RESAVE
        )
    data = os.pread(fd, place.nbytes, place.offset)
    entries = []
    position = 0
    while position < len(data):
        try:
            entry, position = _entry(data, position)
        except (struct.error, ValueError):
            raise _damaged(name, "its directory") from None
        entries.append(entry)
    if len(entries) != count or position != place.nbytes:
        raise _damaged(name, "its directory")
    return entries, place.offset


def places(name: str, fd: int, entries: list[Entry], directory: int) -> Iterator[ByteRange]:
    """The location of each entry's bytes. Raises InputError if an entry is not as torch.save writes it."""
    position = 0
    ends = [entry.header for entry in entries[1:]] + [directory]
    for entry, end in zip(entries, ends, strict=True):
        if entry.header != position:
            raise InputError(f"the entries of {name} overlap or have gaps between them", HINT_RESAVE)
        place = _place(name, fd, entry)
        position = place.offset + place.nbytes
        if entry.flags & _DESCRIPTOR:
            position += _descriptor(name, fd, entry, position, end)
        yield place
    if position != directory:
        raise InputError(
            f"{name} has {directory - position:,} bytes between its entries and its directory", HINT_RESAVE
        )


def _end_records(name: str, fd: int, size: int) -> tuple[ByteRange, int]:
    """The location of the directory, and the number of its entries."""
    position = size - _END.size
    try:
        mark, disk, first, here, count, nbytes, offset, comment = _unpack(_END, fd, position)
    except struct.error:
        raise _damaged(name, "no end record") from None
    if mark != b"PK\x05\x06" or comment:
        raise _damaged(name, "no end record at its end")
    if disk or first or here != count:
        raise _unlike(name, "it is split into several parts")
    locator = _unpack(_LOCATOR, fd, position - _LOCATOR.size) if position >= _LOCATOR.size else (b"",)
    if locator[0] == b"PK\x06\x07":
        position -= _LOCATOR.size + _END64.size
        if locator[1:] != (0, position, 1) or position < 0:
            raise _unlike(name, "its zip64 locator points elsewhere")
        mark, length, _, _, disk, first, here, count64, nbytes64, offset64 = _unpack(_END64, fd, position)
        if (mark, length, disk, first, here) != (b"PK\x06\x06", _END64.size - 12, 0, 0, count64):
            raise _unlike(name, "its zip64 end record is invalid")
        both = ((count, count64, _MAX16), (nbytes, nbytes64, _MAX32), (offset, offset64, _MAX32))
        if any(small not in (limit, min(large, limit)) for small, large, limit in both):
            raise _unlike(name, "its two end records contradict each other")
        count, nbytes, offset = count64, nbytes64, offset64
    if offset + nbytes != position:
        raise _unlike(name, "its directory is not where its end record says")
    return ByteRange(offset, nbytes), count


def _entry(data: bytes, position: int) -> tuple[Entry, int]:
    """The line of the directory at ``position``, and where the next one begins. Raises struct.error, ValueError."""
    fields = _CENTRAL.unpack_from(data, position)
    mark, _, version, flags, method, _, _, crc, packed, size, named, extra, comment, disk, _, attributes, header = (
        fields
    )
    start = position + _CENTRAL.size
    end = start + named + extra + comment
    if mark != b"PK\x01\x02" or end > len(data):
        raise ValueError
    name = data[start : start + named].decode("latin-1")
    large = [value for value in (size, packed, header) if value == _MAX32]
    if large:
        size, packed, header = _large(data[start + named : start + named + extra], size, packed, header)
        extra = 0  # it contains nothing else
    return Entry(name, version, flags, method, crc, packed, size, disk, attributes, header, extra, comment), end


def _large(extra: bytes, *values: int) -> list[int]:
    """``values``, with those too large for their field read from the zip64 field, which must fill ``extra``."""
    large = iter(struct.unpack(f"<2H{values.count(_MAX32)}Q", extra))
    if (next(large), next(large)) != (1, len(extra) - 4):
        raise ValueError
    return [next(large) if value == _MAX32 else value for value in values]


def _place(name: str, fd: int, entry: Entry) -> ByteRange:
    """The location of the data of ``entry``, whose local header must agree with the directory."""
    shown = printable(entry.name, 60)
    for what, wrong in (
        ("is a folder", entry.attributes & _DIRECTORY_ATTRIBUTE),
        ("has a comment", entry.comment),
        ("has extra fields", entry.extra),
        ("is on another disk", entry.disk),
        ("has unknown flags", entry.flags & ~(_DESCRIPTOR | _UTF8)),
        ("needs a newer reader", entry.version > _MAX_VERSION),
    ):
        if wrong:
            raise _unlike(name, f"{shown} {what}")
    encoded = entry.name.encode("latin-1")
    try:
        mark, _, flags, method, _, _, crc, packed, size, named, extra = _unpack(_LOCAL, fd, entry.header)
    except struct.error:
        raise InputError(f"entry {shown} has no local header", HINT_REDOWNLOAD) from None
    if mark != b"PK\x03\x04":
        raise InputError(f"entry {shown} has no local header", HINT_REDOWNLOAD)
    start = entry.header + _LOCAL.size
    if os.pread(fd, named, start) != encoded or (flags, method) != (entry.flags, entry.method):
        raise _unlike(name, f"the local header of {shown} contradicts the directory")
    if _MAX32 in (packed, size):
        try:
            size, packed = struct.unpack("<4x2Q", os.pread(fd, min(extra, 20), start + named))
        except struct.error:
            raise _unlike(name, f"the local header of {shown} lacks its sizes") from None
    follows = entry.flags & _DESCRIPTOR and (crc, packed, size) == (0, 0, 0)
    if not follows and (crc, packed, size) != (entry.crc, entry.packed, entry.size):
        raise _unlike(name, f"the local header of {shown} contradicts the directory")
    return ByteRange(start + named + extra, entry.size)


def _descriptor(name: str, fd: int, entry: Entry, position: int, end: int) -> int:
    """The size of the data descriptor (checksum and sizes) of ``entry``, from ``position`` to at most ``end``."""
    forms = [struct.pack("<4sL2Q", b"PK\x07\x08", entry.crc, entry.packed, entry.size)]
    if entry.size <= _MAX32:
        forms.append(struct.pack("<4s3L", b"PK\x07\x08", entry.crc, entry.packed, entry.size))
    found = os.pread(fd, max(0, min(end - position, len(forms[0]))), position)
    if found not in forms:
        raise _unlike(name, f"the data descriptor of {printable(entry.name, 60)} contradicts the directory")
    return len(found)


def _unpack(form: struct.Struct, fd: int, position: int) -> tuple[Any, ...]:
    return form.unpack(os.pread(fd, form.size, position) if position >= 0 else b"")


def _damaged(name: str, what: str) -> InputError:
    return InputError(f"{name} is an incomplete or damaged zip archive ({what})", HINT_REDOWNLOAD)


def _unlike(name: str, what: str) -> InputError:
    return InputError(f"{name} is a zip archive that torch.save did not write: {what}", HINT_RESAVE)
