"""A zip archive taken apart, so that each part of it can be bent, and put together again."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

FLAG_DESCRIPTOR = 8


@dataclass
class Part:
    """One entry: what its local header says, and what the directory says; alike, unless bent.

    ``offset``: of the local header, as the directory has it; None: where it is. ``moved`` is added to it.
    """

    name: bytes
    content: bytes
    local: dict[str, object] = field(default_factory=dict)
    central: dict[str, object] = field(default_factory=dict)
    offset: int | None = None
    moved: int = 0
    before: bytes = b""
    after: bytes = b""
    padding: bytes = b""
    flags: int = 0x0800
    listed: bool = True
    written: bool = True

    def header(self) -> bytes:
        said = self._said(self.local)
        crc, size = (0, 0) if self.flags & FLAG_DESCRIPTOR and not self.local else (said["crc"], said["size"])
        return struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 0, said["flags"], said["method"], 0, 0, crc, size, size, len(said["name"]),
            len(self.padding),
        ) + said["name"] + self.padding  # fmt: skip

    def line(self, offset: int) -> bytes:
        said = self._said(self.central)
        return struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 0, said["version"], said["flags"], said["method"], 0, 0, said["crc"],
            said["size"], said["size"], len(said["name"]), len(said["extra"]), len(said["comment"]), said["disk"], 0,
            said["attributes"], offset & 0xFFFFFFFF,
        ) + said["name"] + said["extra"] + said["comment"]  # fmt: skip

    def _said(self, bent: dict[str, object]) -> dict:
        plain = {
            "name": self.name, "crc": zlib.crc32(self.content), "size": len(self.content), "flags": self.flags,
            "method": 0, "version": 0, "extra": b"", "comment": b"", "disk": 0, "attributes": 0,
        }  # fmt: skip
        return plain | bent

    def descriptor(self) -> bytes:
        if not self.flags & FLAG_DESCRIPTOR:
            return b""
        size = len(self.content)
        return struct.pack("<4s3L", b"PK\x07\x08", zlib.crc32(self.content), size, size)


@dataclass
class Archive:
    """The parts in order, and what stands between them. ``end``, ``end64``, ``locator``: fields that say otherwise."""

    parts: list[Part]
    before: bytes = b""
    counted: bool = True
    before_directory: bytes = b""
    after_directory: bytes = b""
    before_locator: bytes = b""
    before_end: bytes = b""
    after: bytes = b""
    zip64: bool = True
    end: dict[str, int] = field(default_factory=dict)
    end64: dict[str, int] = field(default_factory=dict)
    locator: dict[str, int] = field(default_factory=dict)

    def join(self) -> bytes:
        """``counted``: offsets count from the beginning of the file, and not from behind ``before``."""
        data, lines = bytearray(self.before), []
        shift = 0 if self.counted else len(self.before)
        for part in self.parts:
            data += part.before
            offset = len(data) - shift if part.offset is None else part.offset
            if part.listed:
                lines.append(part.line(offset + part.moved))
            if part.written:
                data += part.header() + part.content + part.descriptor()
            data += part.after
        data += self.before_directory
        directory, place = b"".join(lines), len(data) - shift
        data += directory + self.after_directory
        plain = {
            "disk": 0,
            "first": 0,
            "here": len(lines),
            "count": len(lines),
            "size": len(directory),
            "offset": place,
        }
        if self.zip64:
            at = len(data) - shift
            said = {"length": 44, **plain, **self.end64}
            data += struct.pack(
                "<4sQ2H2L4Q", b"PK\x06\x06", said["length"], 45, 45, said["disk"], said["first"], said["here"],
                said["count"], said["size"], said["offset"],
            )  # fmt: skip
            found = {"disk": 0, "offset": at, "disks": 1, **self.locator}
            data += self.before_locator
            data += struct.pack("<4sLQL", b"PK\x06\x07", found["disk"], found["offset"], found["disks"])
        said = {**plain, "comment": len(self.after), **self.end}
        data += self.before_end
        data += struct.pack(
            "<4s4H2LH", b"PK\x05\x06", said["disk"], said["first"], said["here"], said["count"], said["size"],
            said["offset"], said["comment"],
        )  # fmt: skip
        return bytes(data + self.after)


def taken_apart(content: bytes) -> Archive:
    """The parts of a sound archive, with neither descriptors nor padding."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return Archive([Part(name.encode(), opened.read(name)) for name in opened.namelist()])


def two_directories(seen: Archive, other: Archive) -> bytes:
    """Two archives in one; zipfile finds the directory of ``seen``, which is beside the end, miniz that of ``other``.

    Both have as many entries, with the same names. ``other`` is padded, because offsets cannot be negative.
    """
    seen.zip64 = other.zip64 = False
    other.parts[-1].after = bytes(len(seen.join()))
    first = other.join()[:-22]
    place = len(first) - sum(len(part.line(0)) for part in other.parts)
    body = sum(len(part.header() + part.content) for part in seen.parts)
    concat = len(first) + body - place  # what zipfile adds to each offset
    seen.before, seen.counted = first, True
    for part in seen.parts:
        part.moved = -concat
    seen.end = {"offset": place}
    return seen.join()


def other_end_record(seen: Archive, other: Archive) -> bytes:
    """Two archives in one; zipfile finds the zip64 end record beside the locator, miniz that which it points to."""
    seen.zip64 = other.zip64 = True
    first = other.join()
    seen.before, seen.counted = first, True
    seen.locator = {"offset": len(first) - 22 - 20 - 56}
    return seen.join()
