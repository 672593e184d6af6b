"""Seeded damage to a checkpoint, from single bits to single opcodes of its pickle."""

from __future__ import annotations

import io
import pickletools
import zipfile
from random import Random

_NUMBERS = [
    n.to_bytes(size, "little") for size in (1, 2, 4, 8) for n in (0, 1, (1 << 8 * size - 1) - 1, (1 << 8 * size) - 1)
]

_OPCODES = [
    b"N", b"\x88", b"}", b"]", b")", b"(", b"t", b"\x85", b"R", b"Q", b"b", b"s", b"u", b"a", b"e", b".", b"0", b"2",
    b"K\x00", b"\x8a\x08" + bytes(7) + b"\x7f", b"\x8a\x09" + bytes(8) + b"\x01", b"h\x00", b"X\x01\x00\x00\x00\x1b",
    b"ccollections\nOrderedDict\n", b"ctorch\nIntStorage\n", b"ctorch._utils\n_rebuild_parameter\n", b"cos\nsystem\n",
]  # fmt: skip


def damaged(data: bytes, random: Random) -> bytes:
    """One to three bits, runs of bytes, numbers, insertions, removals, or a truncation, anywhere."""
    result = bytearray(data)
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(result) + 1)
        stop = min(len(result), start + random.choice((1, 2, 8, 64)))
        match random.randrange(6):
            case 0 if start < len(result):
                result[start] ^= 1 << random.randrange(8)
            case 1:
                result[start:stop] = random.randbytes(stop - start)
            case 2:
                number = random.choice(_NUMBERS)
                result[start : start + len(number)] = number
            case 3:
                result[start:start] = random.randbytes(stop - start)
            case 4:
                del result[start:stop]
            case 5 if random.random() < 0.3:
                del result[start:]
    return bytes(result)


def with_other_opcodes(pickled: bytes, random: Random) -> bytes:
    """A pickle some of whose opcodes are removed, doubled, exchanged or replaced."""
    starts = [position for _, _, position in pickletools.genops(pickled)]
    opcodes = [pickled[a:b] for a, b in zip(starts, [*starts[1:], len(pickled)], strict=True)]
    for _ in range(random.randint(1, 3)):
        i, j = random.randrange(len(opcodes)), random.randrange(len(opcodes))
        match random.randrange(4):
            case 0 if len(opcodes) > 1:
                del opcodes[i]
            case 1:
                opcodes.insert(j, opcodes[i])
            case 2:
                opcodes[i], opcodes[j] = opcodes[j], opcodes[i]
            case 3:
                opcodes[i] = random.choice(_OPCODES)
    return b"".join(opcodes)


def records(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def rebuilt(entries: dict[str, bytes]) -> bytes:
    """A zip with correct checksums, so that the damage reaches what is behind them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_damaged_pickle(archive: bytes, random: Random) -> bytes:
    entries = records(archive)
    entries["archive/data.pkl"] = damaged(entries["archive/data.pkl"], random)
    return rebuilt(entries)


def with_other_opcodes_in_pickle(archive: bytes, random: Random) -> bytes:
    entries = records(archive)
    entries["archive/data.pkl"] = with_other_opcodes(entries["archive/data.pkl"], random)
    return rebuilt(entries)


def with_other_records(archive: bytes, random: Random) -> bytes:
    """Records that are damaged, missing, or exchanged."""
    entries = records(archive)
    names = [name for name in entries if name != "archive/data.pkl"]
    for _ in range(random.randint(1, 2)):
        one, other = random.choice(names), random.choice(names)
        match random.randrange(3):
            case 0 if one in entries:
                entries[one] = damaged(entries[one], random)
            case 1:
                entries.pop(one, None)
            case 2 if one in entries and other in entries:
                entries[one], entries[other] = entries[other], entries[one]
    return rebuilt(entries)


def legacy_parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """What comes before the third of the pickles of a legacy file, that pickle, and the rest."""
    stream, ends = io.BytesIO(content), []
    for _ in range(4):
        for _ in pickletools.genops(stream):
            pass
        ends.append(stream.tell())
    return content[: ends[2]], content[ends[2] : ends[3]], content[ends[3] :]
