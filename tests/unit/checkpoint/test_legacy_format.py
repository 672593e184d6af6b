import struct

import pytest
from support.crafted import legacy, mapping, tensor, text

from ast2hf.checkpoint import container, second_reading
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError

STATE_DICT = mapping(w=tensor())
WEIGHT = struct.pack("<4f", 1, 2, 3, 4)


def refusal(path) -> str:
    with pytest.raises(InputError) as caught, open_checkpoint(path):
        pass
    return str(caught.value)


def test_the_crafted_file_is_sound(tmp_path):
    with open_checkpoint(legacy(tmp_path / "w.pth", STATE_DICT, ["0"], WEIGHT)) as checkpoint:
        assert checkpoint.format == "legacy"
        assert checkpoint.select([Part()]).read("w").tolist() == [[1, 2], [3, 4]]
        assert second_reading.load(checkpoint.select([Part()]))["w"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("keys", [[], ["1"], ["0", "0"], ["0", "1"], [0], [("0",)]])
def test_other_storage_keys_than_the_tensors_are_refused(tmp_path, keys):
    message = refusal(legacy(tmp_path / "w.pth", STATE_DICT, keys, WEIGHT))
    assert "lists storages that do not match its tensors" in message


def test_a_storage_of_another_size_than_its_tensor_is_refused(tmp_path):
    message = refusal(legacy(tmp_path / "w.pth", STATE_DICT, ["0"], WEIGHT + bytes(4)))
    assert "storage 0 has 5 elements, expected 4" in message


def test_bytes_behind_the_storages_are_refused(tmp_path):
    assert "is 8 bytes longer than its tensors require" in refusal(
        legacy(tmp_path / "w.pth", STATE_DICT, ["0"], WEIGHT, b"")
    )


def test_a_huge_pickle_is_refused(tmp_path):
    path = legacy(tmp_path / "w.pth", mapping(w=tensor(), more=text("x" * container.MAX_PICKLE)), ["0"], WEIGHT)
    message = refusal(path)
    assert "does not end within its first 4,194,304 bytes" in message
    assert "torch.save(model.state_dict(), path)" in message


def test_a_storage_behind_the_end_is_refused(tmp_path):
    assert "ends in the middle of storage 0" in refusal(legacy(tmp_path / "w.pth", STATE_DICT, ["0"]))


def test_big_endian_is_refused(tmp_path):
    path = legacy(tmp_path / "w.pth", STATE_DICT, ["0"], WEIGHT)
    path.write_bytes(path.read_bytes().replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"))
    assert "unknown variant of the legacy format" in refusal(path)
