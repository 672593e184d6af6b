import struct
import zipfile

import pytest
import torch
from support.crafted import mapping, pickled, tensor, zipped

from ast2hf.checkpoint import second_reading, zip_directory, zip_format
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError

STATE_DICT = mapping(w=tensor())


def refusal(path) -> str:
    with pytest.raises(InputError) as caught, open_checkpoint(path):
        pass
    return str(caught.value)


def test_the_crafted_file_is_sound(tmp_path):
    with open_checkpoint(zipped(tmp_path / "w.pth", STATE_DICT)) as checkpoint:
        assert checkpoint.select([Part()]).read("w").tolist() == [[1, 2], [3, 4]]
        assert second_reading.load(checkpoint.select([Part()]))["w"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_entries_are_refused(tmp_path):
    path = zipped(tmp_path / "w.pth", STATE_DICT)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", pickled(STATE_DICT))
    assert "several entries with the same name" in refusal(path)


def test_a_second_pickle_is_refused(tmp_path):
    path = zipped(tmp_path / "w.pth", STATE_DICT)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", pickled(STATE_DICT))
    assert "2 data.pkl entries instead of one" in refusal(path)


def test_a_zip_without_a_pickle_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("README", "hello")
    assert "0 data.pkl entries instead of one" in refusal(tmp_path / "w.pth")


def test_a_record_outside_the_folder_of_the_pickle_is_refused(tmp_path):
    path = zipped(tmp_path / "w.pth", STATE_DICT)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data/0", struct.pack("<4f", 9, 9, 9, 9))
    assert "has an entry data/0, which torch.save does not write" in refusal(path)


def test_a_zip_bomb_is_refused_before_inflating(tmp_path):
    path = zipped(tmp_path / "w.pth", STATE_DICT, zipfile.ZIP_DEFLATED, _1=bytes(10_000_000))
    assert path.stat().st_size < 20_000
    assert "a compressed or encrypted entry" in refusal(path)


def test_a_huge_directory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_directory, "_MAX_DIRECTORY", 100)
    assert "bytes, over the limit of 100" in refusal(zipped(tmp_path / "w.pth", STATE_DICT))


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(100)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<4f", 1, 1, 1, 1)) + 50] ^= 1
    path.write_bytes(content)
    assert "checksum (CRC) of w/data/0 is wrong" in refusal(path)


@pytest.mark.parametrize("nbytes", [12, 20, 0])
def test_a_record_of_another_size_than_its_tensor_is_refused(tmp_path, nbytes):
    message = refusal(zipped(tmp_path / "w.pth", STATE_DICT, _0=bytes(nbytes)))
    assert f"the storage of w has {nbytes} bytes, expected 16" in message


def test_a_missing_record_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled(STATE_DICT))
    assert "storage of w is not in the file" in refusal(tmp_path / "w.pth")


def test_a_huge_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_format, "MAX_PICKLE", 10)
    assert "over the limit of 10" in refusal(zipped(tmp_path / "w.pth", STATE_DICT))


def test_bytes_behind_the_pickle_are_refused(tmp_path):
    assert "followed by 9 more bytes" in refusal(zipped(tmp_path / "w.pth", STATE_DICT + b".12345678"))


def test_big_endian_is_refused(tmp_path):
    path = zipped(tmp_path / "w.pth", STATE_DICT)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    assert "big-endian" in refusal(path)


def test_entries_that_overlap_are_refused(tmp_path):
    path = zipped(tmp_path / "w.pth", STATE_DICT, _1=bytes(1000), _2=bytes(1000))
    content = bytearray(path.read_bytes())
    for key in (b"1", b"2"):  # both sizes in the central directory, far beyond the file
        entry = content.index(b"PK\x01\x02", content.index(b"archive/data/" + key, content.index(b"PK\x01\x02")) - 46)
        content[entry + 20 : entry + 28] = struct.pack("<II", 10**6, 10**6)
    path.write_bytes(content)
    assert "overlap or exceed the file" in refusal(path)
