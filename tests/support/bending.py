"""Seeded damage to the structure of a zip archive: what one reader heeds and another does not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

from support.archives import FLAG_DESCRIPTOR, Archive, Part, other_end_record, taken_apart, two_directories


def with_bent_structure(content: bytes, random: Random) -> bytes:
    """One to three parts of the archive ``content`` bent. Some of it leaves a sound archive."""
    archive = taken_apart(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        random.choice(_BENDS)(archive, random)
    match random.randrange(12):
        case 0:
            return two_directories(archive, _other(content, random))
        case 1:
            return other_end_record(archive, _other(content, random))
    return archive.join()


def _other(content: bytes, random: Random) -> Archive:
    """The same names, other weights."""
    archive = taken_apart(content)
    part = random.choice([p for p in archive.parts if b"/data/" in p.name])
    part.content = bytes(byte ^ 1 for byte in part.content)
    return archive


def _part(archive: Archive, random: Random) -> Part:
    pickles = [part for part in archive.parts if part.name.lower().endswith(b"data.pkl")]
    return random.choice(pickles) if pickles and random.random() < 0.4 else random.choice(archive.parts)


def _name(name: bytes, random: Random) -> bytes:
    at = random.randrange(len(name) + 1)
    folder, _, rest = name.partition(b"/")
    return random.choice(
        (
            name.upper(), name.swapcase(), name + b"\0", name + b"\0x", name[:at] + b"\0" + name[at:], b"\0" + name,
            name.replace(b"/", b"\\"), b"./" + name, b"/" + name, name + b"/", folder + b"x/" + rest, rest,
            folder.upper() + b"/" + rest, name + b" ", name + b"\xff", b"\xc3\xa9/" + rest, folder + b"//" + rest,
            folder + b"/data/99", folder + b"/.data/version", folder + b"/README",
        )
    )  # fmt: skip


def _rename(archive: Archive, random: Random) -> None:
    part = _part(archive, random)
    part.name = _name(part.name, random)


def _rename_all(archive: Archive, random: Random) -> None:
    folder = random.choice((b"other", b"with space (1)", b"ARCHIVE", b"", b"..", b"a\0", b"x" * 600))
    for part in archive.parts:
        part.name = folder + b"/" + part.name.partition(b"/")[2]


def _twin(archive: Archive, random: Random) -> None:
    """A second entry, of a name like that of the first, with other bytes."""
    part = _part(archive, random)
    twin = Part(random.choice((part.name, _name(part.name, random))), bytes(byte ^ 1 for byte in part.content))
    archive.parts.insert(random.randrange(len(archive.parts) + 1), twin)


def _more(archive: Archive, random: Random) -> None:
    name = random.choice((b"archive/data/99", b"archive/.format_version", b"archive/byteorder", b"archive/version"))
    archive.parts.append(Part(name, random.choice((b"", b"1", b"little", b"big", bytes(64)))))


def _drop(archive: Archive, random: Random) -> None:
    if len(archive.parts) > 2:
        archive.parts.remove(_part(archive, random))


def _hide(archive: Archive, random: Random) -> None:
    setattr(_part(archive, random), random.choice(("listed", "written")), False)


def _order(archive: Archive, random: Random) -> None:
    random.shuffle(archive.parts)


def _move(archive: Archive, random: Random) -> None:
    part = _part(archive, random)
    if random.random() < 0.5:
        part.moved = random.choice((1, 2, 64, 30))
    else:
        part.offset = 0  # that of the first entry


def _header(archive: Archive, random: Random) -> None:
    """The local header, the directory, or both say otherwise."""
    part = _part(archive, random)
    size = len(part.content)
    field, value = random.choice(
        (
            ("name", _name(part.name, random)), ("size", random.choice((0, size + 1, max(0, size - 4), 0xFFFFFFFF))),
            ("crc", random.choice((0, 1))), ("flags", random.choice((0, 1, 8, 0x20, 0x40, 0x808, 0x2000))),
            ("method", random.choice((8, 1, 99))), ("version", random.choice((20, 45, 63))),
            ("attributes", random.choice((0x10, 0x20))), ("disk", random.choice((1, 0xFFFF))),
            ("comment", b"hello"), ("extra", random.choice((_unicode_path(part), b"\1\0\0\0", b"FB\0\0", b"\1"))),
        )
    )  # fmt: skip
    for where in random.choice(((part.local,), (part.central,), (part.local, part.central))):
        where[field] = value


def _unicode_path(part: Part) -> bytes:
    other = part.name.replace(b"data", b"DATA")
    return struct.pack("<2HBL", 0x7075, 5 + len(other), 1, zlib.crc32(part.name)) + other


def _sound(archive: Archive, random: Random) -> None:
    """What torch.save or zipfile does, too."""
    match random.randrange(4):
        case 0:
            archive.zip64 = False
        case 1:
            for part in archive.parts:
                part.flags |= FLAG_DESCRIPTOR * bool(part.content)
        case 2:
            for part in archive.parts:
                part.padding = b"FB" + struct.pack("<H", length := random.randrange(64)) + b"Z" * length
        case 3:
            for part in archive.parts:
                part.flags &= ~0x0800


def _bytes(archive: Archive, random: Random) -> None:
    """Bytes where none belong."""
    more = random.choice((b"x", bytes(64), b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"PK" + bytes(40)))
    where = ("before", "before_directory", "after_directory", "before_locator", "before_end", "after")
    match random.randrange(3):
        case 0:
            setattr(archive, random.choice(where), more)
            archive.counted = random.random() < 0.5
        case 1:
            setattr(_part(archive, random), random.choice(("before", "after")), more)
        case 2:
            archive.before, archive.counted = b"PK" + more, random.random() < 0.5


def _ends(archive: Archive, random: Random) -> None:
    """The end records or the locator say otherwise."""
    count = len(archive.parts)
    record = random.choice((archive.end, archive.end64, archive.locator))
    field = random.choice(("disk", "first", "here", "count", "size", "offset", "length", "disks", "comment"))
    record[field] = random.choice((0, 1, count - 1, count + 1, 0xFFFF, 46, 100))
    if random.random() < 0.3:
        archive.end |= {"here": 0xFFFF, "count": 0xFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}


_BENDS: tuple[Callable[[Archive, Random], None], ...] = (
    _rename, _rename_all, _twin, _twin, _more, _drop, _hide, _order, _move, _header, _header, _sound, _sound, _bytes,
    _bytes, _ends, _ends,
)  # fmt: skip
