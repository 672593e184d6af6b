"""What is no archive of torch.save; among it, all that two readers would find different files in."""

import struct
import zlib

import pytest
import torch
from support.archives import FLAG_DESCRIPTOR, Archive, Part, other_end_record, two_directories
from support.crafted import mapping, pickled, storage, tensor

from ast2hf.checkpoint import selection, zip_directory
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError

VETTED, OTHER = struct.pack("<4f", 1, 2, 3, 4), struct.pack("<4f", 5, 6, 7, 8)

SECOND = pickled(mapping(w=tensor(stored=storage("1"))))
"""A pickle whose tensor has the bytes of the other record."""


def sound(folder: bytes = b"archive") -> Archive:
    contents = {b"data.pkl": pickled(mapping(w=tensor())), b"version": b"3\n", b"data/0": VETTED, b"data/1": OTHER}
    return Archive([Part(folder + b"/" + name, content) for name, content in contents.items()])


def case_twin() -> bytes:
    archive = sound()
    archive.parts.insert(1, Part(b"archive/DATA.PKL", SECOND))
    return archive.join()


def name_with_nul() -> bytes:
    archive = sound()
    archive.parts[0].name += b"\0x"
    archive.parts.insert(1, Part(b"archive/Data.pkl", SECOND))
    return archive.join()


def with_other_pickle() -> Archive:
    archive = sound()
    archive.parts[0].content = SECOND
    return archive


TWO_READINGS = {
    "names that differ by case": (case_twin, "several entries with the same name"),
    "a name with NUL": (name_with_nul, "0 data.pkl entries instead of one"),
    "two directories": (lambda: two_directories(sound(), with_other_pickle()), "is not where its end record"),
    "two zip64 end records": (
        lambda: other_end_record(sound(), with_other_pickle()),
        "its zip64 locator points elsewhere",
    ),
}


def part(index: int = 0, **bent: object) -> Archive:
    archive = sound()
    for name, value in bent.items():
        setattr(archive.parts[index], name, value)
    return archive


def archive(**bent: object) -> Archive:
    found = sound()
    for name, value in bent.items():
        setattr(found, name, value)
    return found


def with_parts(*parts: Part) -> Archive:
    found = sound()
    found.parts += parts
    return found


def swapped() -> Archive:
    """The directory lists the entries in another order."""
    content, found = sound(), sound()
    places, position = [], 0
    for one in content.parts:
        places.append(position)
        position += len(one.header()) + len(one.content)
    listed = [
        Part(p.name, p.content, offset=place, written=False) for p, place in zip(content.parts, places, strict=True)
    ]
    for one in found.parts:
        one.listed = False
    found.parts += reversed(listed)
    return found


def wrong_descriptor() -> bytes:
    content = part(2, flags=0x0800 | FLAG_DESCRIPTOR).join()
    at = content.index(b"PK\x07\x08") + 4
    return content[:at] + b"\0\0\0\0" + content[at + 4 :]


VETTED_CRC, UNICODE_PATH = zlib.crc32(VETTED), struct.pack("<2HBL", 0x7075, 5, 1, 0)

BENT = {
    "bytes before it, offsets from behind them": (
        archive(before=b"PK" + bytes(98), counted=False, zip64=False), "is not where its end record"
    ),
    "bytes before it, a locator from behind them": (
        archive(before=b"PK" + bytes(98), counted=False), "zip64 locator points elsewhere"
    ),
    "bytes before it": (archive(before=b"PK" + bytes(98)), "overlap or have gaps"),
    "bytes between entries": (part(2, before=b"between"), "overlap or have gaps"),
    "bytes before the directory": (archive(before_directory=b"hidden"), "6 bytes between its entries and"),
    "bytes behind the directory": (archive(after_directory=b"hidden"), "is not where its end record"),
    "bytes before the locator": (archive(before_locator=b"hidden"), "zip64 locator points elsewhere"),
    "bytes before the end record": (archive(before_end=b"hidden"), "is not where its end record"),
    "a comment": (archive(after=b"hello"), "no end record at its end"),
    "bytes behind the end": (archive(after=b"hello", end={"comment": 0}), "no end record at its end"),
    "a comment that is not there": (archive(end={"comment": 5}), "no end record at its end"),
    "several disks": (archive(zip64=False, end={"disk": 1}), "it is split into several parts"),
    "a directory on another disk": (archive(zip64=False, end={"first": 1}), "it is split into several parts"),
    "fewer entries on this disk": (archive(zip64=False, end={"here": 3}), "it is split into several parts"),
    "fewer entries": (archive(zip64=False, end={"here": 3, "count": 3}), "incomplete or damaged"),
    "more entries": (archive(zip64=False, end={"here": 5, "count": 5}), "incomplete or damaged"),
    "a directory elsewhere": (archive(zip64=False, end={"offset": 0}), "is not where its end record"),
    "two different counts": (archive(end64={"here": 3, "count": 3}), "contradict each other"),
    "two different places": (archive(end={"offset": 0}), "contradict each other"),
    "two different sizes": (archive(end={"size": 0}), "contradict each other"),
    "a long zip64 end record": (archive(end64={"length": 45}), "its zip64 end record is invalid"),
    "a zip64 end record on another disk": (archive(end64={"disk": 1}), "its zip64 end record is invalid"),
    "a locator with another disk": (archive(locator={"disk": 1}), "its zip64 locator points elsewhere"),
    "a locator with several disks": (archive(locator={"disks": 2}), "its zip64 locator points elsewhere"),
    "another order": (swapped(), "overlap or have gaps"),
    "two names for the same bytes": (
        with_parts(Part(b"archive/data/2", b"", offset=0, written=False)), "overlap or have gaps"
    ),
    "another local name": (part(2, local={"name": b"archive/data/9"}), "local header of archive/data/0 contradicts"),
    "a longer local name": (part(2, local={"name": b"archive/data/00"}), "local header of archive/data/0 contradicts"),
    "another local size": (part(2, local={"size": 12}), "local header of archive/data/0 contradicts"),
    "another local checksum": (part(2, local={"crc": 1}), "local header of archive/data/0 contradicts"),
    "other local flags": (part(2, local={"flags": 0}), "local header of archive/data/0 contradicts"),
    "another local method": (part(2, local={"method": 8}), "local header of archive/data/0 contradicts"),
    "a local size in a field that is not there": (part(2, local={"size": 0xFFFFFFFF}), "lacks its sizes"),
    "a size too large for its field, and no other": (part(2, central={"size": 0xFFFFFFFF}), "incomplete or damaged"),
    "a descriptor that contradicts": (wrong_descriptor(), "the data descriptor of archive/data/0 contradicts"),
    "a descriptor that is not there": (
        part(3, local={"crc": zlib.crc32(OTHER), "size": 16, "flags": 0x0808}, central={"flags": 0x0808}),
        "the data descriptor of archive/data/1 contradicts",
    ),
    "the attribute of a folder": (part(2, central={"attributes": 0x10}), "archive/data/0 is a folder"),
    "an entry with a comment": (part(2, central={"comment": b"hello"}), "archive/data/0 has a comment"),
    "another name in an extra field": (part(2, central={"extra": UNICODE_PATH}), "archive/data/0 has extra fields"),
    "an entry on another disk": (part(2, central={"disk": 1}), "archive/data/0 is on another disk"),
    "flags of another meaning": (
        part(2, central={"flags": 0x0820}, local={"flags": 0x0820}), "archive/data/0 has unknown flags"
    ),
    "a newer version of the format": (part(2, central={"version": 63}), "archive/data/0 needs a newer reader"),
    "an encrypted entry": (part(2, flags=0x0801), "compressed or encrypted"),
    "a backslash in a name": (with_parts(Part(b"archive\\data/2", b"")), "which torch.save does not write"),
    "a name that is not ASCII": (with_parts(Part("archive/dätä/2".encode(), b"")), "which torch.save does not write"),
    "a control character in a name": (with_parts(Part(b"archive/data/2\n", b"")), "which torch.save does not write"),
    "an unknown name": (with_parts(Part(b"archive/README", b"")), "archive/README, which torch.save does not write"),
    "a folder": (with_parts(Part(b"archive/data/", b"")), "archive/data/, which torch.save does not write"),
    "a second folder": (with_parts(Part(b"other/version", b"")), "other/version, which torch.save does not write"),
    "a long name": (sound(b"x" * 500), "which torch.save does not write"),
}  # fmt: skip


def refusal(path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught, open_checkpoint(path):
        pass
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("zip64", [True, False])
@pytest.mark.parametrize("bent", [{}, {"flags": 0x0808}, {"padding": b"FB\x04\x00ZZZZ"}])
def test_the_crafted_archive_is_sound(tmp_path, zip64, bent):
    found = part(2, **bent)
    found.zip64 = zip64
    (tmp_path / "w.pth").write_bytes(found.join())
    with open_checkpoint(tmp_path / "w.pth") as checkpoint:
        assert checkpoint.select([selection.Part()]).read("w").tolist() == [[1, 2], [3, 4]]
    assert torch.load(tmp_path / "w.pth", weights_only=True)["w"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("how", TWO_READINGS)
def test_an_archive_with_two_readings_is_refused(tmp_path, how):
    make, words = TWO_READINGS[how]
    assert words in refusal(tmp_path / "w.pth", make())


@pytest.mark.parametrize("how", TWO_READINGS)
def test_torch_reads_the_other_pickle_of_such_an_archive(tmp_path, how):
    """The control: without it, a refusal would show nothing."""
    (tmp_path / "w.pth").write_bytes(TWO_READINGS[how][0]())
    assert torch.load(tmp_path / "w.pth", weights_only=True)["w"].tolist() == [[5, 6], [7, 8]]


@pytest.mark.parametrize("how", BENT)
def test_a_bent_archive_is_refused(tmp_path, how):
    made, words = BENT[how]
    assert words in refusal(tmp_path / "w.pth", made if isinstance(made, bytes) else made.join())


@pytest.mark.parametrize("length", [0, 1, 21, 22, 60, 100, -22, -20, -1])
def test_a_cut_archive_is_refused(tmp_path, length):
    content = b"PK" + bytes(20) if length == 22 else sound().join()[:length]
    message = refusal(tmp_path / "w.pth", content)
    assert any(words in message for words in ("incomplete or damaged", "is empty", "not a PyTorch checkpoint"))


def large(records: list[tuple[bytes, int]], path) -> None:
    """A sparse file with the headers that miniz writes for ``records``, by name and size."""
    directory = b""
    with path.open("wb") as file:
        for name, size in records:
            header = file.tell()
            values = [size, size] * (size >= 0xFFFFFFFF) + [header] * (header >= 0xFFFFFFFF)
            extra = struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""
            file.write(struct.pack("<4s5H3L2H", b"PK\x03\x04", 0, 0x0808, 0, 0, 0, 0, 0, 0, len(name), len(extra)))
            file.write(name + extra)
            file.seek(size, 1)
            file.write(struct.pack("<4sL2Q" if extra else "<4s3L", b"PK\x07\x08", 7, size, size))
            small = min(size, 0xFFFFFFFF)
            directory += struct.pack(
                "<4s6H3L5H2L", b"PK\x01\x02", 0, 0, 0x0808, 0, 0, 0, 7, small, small, len(name), len(extra), 0, 0, 0, 0,
                min(header, 0xFFFFFFFF),
            ) + name + extra  # fmt: skip
        at, count = file.tell(), len(records)
        file.write(directory)
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 0, 0, 0, 0, count, count, len(directory), at))
        file.write(struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(directory), 1))
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), min(at, 0xFFFFFFFF), 0))


def test_records_and_offsets_of_more_than_4_gb_are_read(tmp_path):
    records = [(b"a/data.pkl", 100), (b"a/data/0", (1 << 32) + 5), (b"a/data/1", 8), (b"a/data/2", (1 << 32) - 1)]
    large(records, tmp_path / "w.pth")
    with (tmp_path / "w.pth").open("rb") as file:
        size = file.seek(0, 2)
        entries, directory = zip_directory.read_directory("w.pth", file.fileno(), size)
        places = list(zip_directory.places("w.pth", file.fileno(), entries, directory))
    assert [entry.name.encode() for entry in entries] == [name for name, _ in records]
    assert [place.nbytes for place in places] == [n for _, n in records]
    assert places[2].offset > 1 << 32


def test_an_end_record_may_leave_everything_to_the_other(tmp_path):
    large = {"here": 0xFFFF, "count": 0xFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
    (tmp_path / "w.pth").write_bytes(archive(end=large).join())
    with open_checkpoint(tmp_path / "w.pth") as checkpoint:
        assert checkpoint.select([selection.Part()]).read("w").tolist() == [[1, 2], [3, 4]]


def test_files_written_by_torch_are_read(tmp_path):
    torch.save({"w": torch.ones(2, 3), "none": torch.zeros(0)}, tmp_path / "some name (1).pth")
    with open_checkpoint(tmp_path / "some name (1).pth") as checkpoint:
        assert checkpoint.select([selection.Part()]).read("w").tolist() == [[1, 1, 1]] * 2
