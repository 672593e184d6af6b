import json

import numpy as np
import pytest
import torch
from safetensors.torch import save

from ast2hf.checkpoint import safetensors_format
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError

W = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def crafted(path, header: object, data: bytes = bytes(16)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def refusal(path) -> str:
    with pytest.raises(InputError) as caught, open_checkpoint(path):
        pass
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    return str(caught.value)


def test_tensors_are_read_as_they_were_saved(tmp_path):
    value = {
        "a": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2, dtype=torch.float16), "none": torch.zeros(0, 3),
        "b": torch.tensor([0.1, -2.5], dtype=torch.bfloat16), "double": torch.tensor(0.5, dtype=torch.float64),
        "count": torch.tensor([3, 4]), "flag": torch.tensor([True, False]),
    }  # fmt: skip
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(value, {"format": "pt"}))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert [c.keys for c in checkpoint.candidates] == [()]
        state_dict = checkpoint.select([Part()])
        assert state_dict.shapes.keys() == value.keys()
        for name, expected in value.items():
            assert state_dict.shapes[name] == expected.shape
            assert np.array_equal(state_dict.values(name), expected.double().numpy())
            if expected.is_floating_point():
                assert torch.equal(state_dict.read(name), expected.float())


def test_newer_types_matter_only_where_they_are_chosen(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(save({"w": torch.ones(2), "x": torch.ones(2).to(torch.float8_e4m3fn)}))
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.select([Part(only=["w"])]).tensors) == ["w"]
        with pytest.raises(InputError, match=r"an unsupported dtype \(such as float8 or uint16\) \(x\)"):
            checkpoint.select([Part()])


def test_the_crafted_file_is_sound(tmp_path):
    with open_checkpoint(crafted(tmp_path / "w", {"w": W, "__metadata__": {"a": "b"}})) as checkpoint:
        assert checkpoint.select([Part()]).read("w").tolist() == [[0, 0], [0, 0]]
    with open_checkpoint(crafted(tmp_path / "w", json.dumps({"w": W}).encode() + b"   ")) as checkpoint:
        assert list(checkpoint.root) == ["w"]


X = {**W, "data_offsets": [16, 32]}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"w": W, "x": {**W, "data_offsets": [8, 24]}}, "overlap"),
        ({"w": W, "x": W}, "overlap"),
        ({"w": W, "x": {**W, "data_offsets": [20, 36]}}, "leave a gap"),
        ({"x": X}, "leave a gap"),
        ({"w": W, "x": X, "y": {**W, "data_offsets": [32, 48]}}, "bytes, expected"),
        ({"w": W}, "bytes, expected"),
        ({"w": {**W, "dtype": "F16"}, "x": X}, "has 16 bytes, expected 8"),
        ({"w": {**W, "dtype": "F99"}, "x": X}, "unknown dtype F99"),
        ({"w": {**W, "dtype": 3}, "x": X}, "entry for tensor w does not follow"),
        ({"w": {**W, "shape": [2**62, 2**62]}, "x": X}, "has 16 bytes, expected"),
        ({"w": {**W, "shape": [-2, -2]}, "x": X}, "invalid shape"),
        ({"w": {**W, "shape": [2.0, 2]}, "x": X}, "invalid shape"),
        ({"w": {**W, "shape": [True, 4]}, "x": X}, "invalid shape"),
        ({"w": {**W, "shape": [1] * 17}, "x": X}, "invalid shape"),
        ({"w": {**W, "data_offsets": [-16, 0]}, "x": X}, "invalid offsets"),
        ({"w": {**W, "data_offsets": [16, 0]}, "x": X}, "invalid offsets"),
        ({"w": {**W, "data_offsets": [False, 16]}, "x": X}, "entry for tensor w does not follow"),
        ({"w": {**W, "more": 1}, "x": X}, "entry for tensor w does not follow"),
        ({"w": {"dtype": "F32"}, "x": X}, "entry for tensor w does not follow"),
        ({"w": None, "x": X}, "entry for tensor w does not follow"),
        ({"w": W, "x": X, "__metadata__": {"a": 1}}, "is not text"),
        ({"w": W, "x": X, "__metadata__": []}, "is not text"),
        (b'{"w":' + json.dumps(W).encode() + b', "w":' + json.dumps(X).encode() + b"}", "a key appears twice"),
        (b'{"w":{"dtype":"F32","dtype":"F16","shape":[2,2],"data_offsets":[0,16]}}', "a key appears twice"),
        (b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is damaged ("),
        (b'{"w":' + b"9" * 10_000 + b"}", "is damaged ("),
        (b'{"w":\xff}', "is damaged ("),
        (b'{"w":1', "is damaged ("),
        (b'{"w":1} {', "is damaged ("),
        (b"{}", "bytes, expected"),
    ],
)
def test_what_safetensors_does_not_write_is_refused(tmp_path, header, words):
    assert words in refusal(crafted(tmp_path / "w", header, bytes(32)))


def test_a_name_that_cannot_be_written_is_refused(tmp_path):
    assert "is not a JSON object of named tensors" in refusal(crafted(tmp_path / "w", {"w\ud800": W}))


def test_an_empty_header_has_no_state_dict(tmp_path):
    assert "contains no state dict (its keys: none)" in refusal(crafted(tmp_path / "w", b"{}", b""))


def test_a_huge_header_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_format, "MAX_PICKLE", 10)
    assert "over the limit of 10" in refusal(crafted(tmp_path / "w", {"w": W}))


@pytest.mark.parametrize("cut", [1, 15, 16])
def test_a_cut_file_is_incomplete(tmp_path, cut):
    content = crafted(tmp_path / "w", {"w": W}).read_bytes()
    (tmp_path / "w").write_bytes(content[:-cut])
    assert "download the file again" in refusal(tmp_path / "w")
