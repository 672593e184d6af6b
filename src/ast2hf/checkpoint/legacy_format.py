"""The format of ``torch.save`` before 1.6, still written with ``_use_new_zipfile_serialization=False``.

Five pickles (magic number, protocol, system, the object, the storage keys), then the storages one by one, each as its
count of elements (8 bytes) and its bytes. Source: ``torch.serialization._legacy_save``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ast2hf.checkpoint import pickles
from ast2hf.checkpoint.container import HINT_REDOWNLOAD, HINT_RESAVE, MAX_PICKLE, ByteRange, Container
from ast2hf.errors import InputError, printable

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001


def open_legacy(path: Path, file: BinaryIO, size: int) -> Container:
    """Validate the file and read its pickles without running them. Raises InputError."""
    name = printable(path)
    head = os.pread(file.fileno(), MAX_PICKLE, 0)
    magic = pickles.unpickle_restricted(head)
    if magic.root != _MAGIC_NUMBER:
        raise InputError(
            f"{name} is a bare pickle, not a file written by torch.save",
            HINT_RESAVE,
        )
    position = magic.end
    found: list[pickles.Pickled] = []
    for _ in range(4):
        found.append(pickles.unpickle_restricted(head, position))
        position = found[-1].end
    protocol, system, (root, storages, tensors, _), keys = found[0].root, found[1].root, found[2], found[3].root
    if protocol != _PROTOCOL_VERSION or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise InputError(f"{name} uses an unknown variant of the legacy format", "re-save it with a newer torch.save")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise InputError(f"{name} lists storages that do not match its tensors", "re-save the checkpoint")
    pickled = head[:position]
    places: dict[str, ByteRange] = {}
    for key in keys:
        storage = storages[key]
        count = os.pread(file.fileno(), 8, position)
        place = ByteRange(position + 8, storage.nbytes)
        if len(count) < 8 or place.offset + place.nbytes > size:
            raise InputError(f"{name} ends in the middle of storage {printable(key, 40)}", HINT_REDOWNLOAD)
        if (numel := int.from_bytes(count, "little")) != storage.numel:
            raise InputError(
                f"{name}: storage {printable(key, 40)} has {numel:,} elements, expected {storage.numel:,}",
                HINT_REDOWNLOAD,
            )
        places[key] = place
        position = place.offset + place.nbytes
    if position != size:
        raise InputError(f"{name} is {size - position:,} bytes longer than its tensors require", HINT_REDOWNLOAD)
    return Container("legacy", root, tensors, places, pickled)
