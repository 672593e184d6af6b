"""Checkpoint files made by hand, for what torch.save would never write."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

ORDERED_DICT = b"ccollections\nOrderedDict\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """LONG1, whatever the size."""
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", numel: int = 4, kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(numel) + b"tQ"


def tensor(
    shape: tuple[int, ...] = (2, 2), stride: tuple[int, ...] = (2, 1), offset: int = 0,
    stored: bytes = storage(), rest: bytes = b"\x89}",
) -> bytes:  # fmt: skip
    return TENSOR + b"(" + stored + number(offset) + numbers(shape) + numbers(stride) + rest + b"tR"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def pickled(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def zipped(path: Path, body: bytes, method: int = zipfile.ZIP_STORED, **records: bytes) -> Path:
    """A zip of ``body`` and ``records`` (``_0`` for the storage 0), each 16 bytes of float32 unless given."""
    entries = {"_0": struct.pack("<4f", 1, 2, 3, 4), **records}
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled(body))
        archive.writestr("archive/version", "3")
        for key, content in entries.items():
            archive.writestr(f"archive/data/{key[1:]}", content)
    return path


def legacy(path: Path, body: bytes, keys: list[object], *stored: bytes) -> Path:
    """A legacy file of ``body`` and the ``stored`` float32 storages, each behind its count of elements."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(LEGACY_MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps(system, 2)]
    parts.append(pickled(body.replace(b"tQ", b"NtQ")))  # this format says of each storage that it is no view
    parts.append(pickle.dumps(keys, 2))
    path.write_bytes(b"".join(parts) + b"".join(struct.pack("<q", len(s) // 4) + s for s in stored))
    return path
