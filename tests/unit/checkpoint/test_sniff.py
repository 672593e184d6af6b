import gzip
import io
import json
import os
import pickle
import tarfile
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors

from ast2hf.checkpoint import sniff
from ast2hf.checkpoint.container import Container
from ast2hf.errors import InputError


def sniff_file(path) -> Container:
    with path.open("rb", buffering=0) as file:
        return sniff.open_container(path, file)


def refusal(path) -> InputError:
    with pytest.raises(InputError) as caught:
        sniff_file(path)
    return caught.value


class Shell:
    def __reduce__(self):
        return os.system, ("false",)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


def numpy_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def safetensors_whose_length_begins_with(byte: int) -> bytes:
    """The first byte of the header's length can be that of a pickle, or of JSON."""
    for size in range(1, 400):
        data = safetensors({"w" * size: torch.zeros(1)})
        if data[0] == byte:
            return data
    raise AssertionError


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (b"\xef\xbb\xbf \n<HTML>", "is an HTML page"),
        (json.dumps({"error": "expired"}).encode(), "is JSON text"),
        (b'[1, 2, {"a": 3}]', "is JSON text"),
        (gzip.compress(b"PK"), "is a gzip file"),
        (tar(), "is a tar archive"),
        (numpy_array(), "is a NumPy array"),
        (b"fLaC....", "is a FLAC recording"),
        (b"RIFF....WAVE", "is a WAV recording"),
        (b"cposix\nsystem\n(S'true'\ntR.", r"bare pickle that refers to posix\.system \(nothing was executed\)"),
        (pickle.dumps({"w": Shell()}, 0), r"bare pickle that refers to posix\.system \(nothing was executed\)"),
        (b"(iposix\nsystem\n.", r"bare pickle that refers to posix\.system \(nothing was executed\)"),
        (pickle.dumps([1], 0), "not a PyTorch checkpoint"),
        (pickle.dumps([1], 2), "is a bare pickle"),
        (b"P", r"not a PyTorch checkpoint \(it begins with 50\)"),
        (b"\x1b[31mred", "begins with 1b 5b 33"),
    ],
)
def test_other_files_are_named(tmp_path, content, words):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        sniff_file(path)


@pytest.mark.parametrize(
    "content", [safetensors({"w": torch.zeros(2)}), *map(safetensors_whose_length_begins_with, (0x50, 0x80))]
)
def test_safetensors_is_a_format_of_its_own(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert sniff_file(path).format == "safetensors"


def test_html_comes_with_the_dropbox_hint(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"<html>")
    assert "dl=1" in refusal(path).remedy


@pytest.mark.parametrize("layers", [1, 8])
def test_torchscript_is_named(tmp_path, layers):
    path = tmp_path / "model.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.trace(torch.nn.Sequential(*[torch.nn.Linear(1, 1)] * layers), torch.zeros(1))
        torch.jit.save(model, path)
    assert "is a TorchScript archive" in refusal(path).cause


def test_the_size_is_limited(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    torch.save({}, path)
    monkeypatch.setattr(sniff, "MAX_FILE", 100)
    assert "over the limit of 100" in refusal(path).cause


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.03, 0.04, 0.5, -30, -1])
def test_a_cut_file_is_incomplete(tmp_path, zipped, part):
    path = tmp_path / "model.pth"
    torch.save({"w": torch.ones(100)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    sniff_file(path)
    path.write_bytes(content[: int(len(content) * part) if part > 0 else part])
    assert "download the file again" in refusal(path).remedy


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_anywhere_gives_a_clean_error_or_none(tmp_path, zipped):
    path = tmp_path / "model.pth"
    torch.save({"w": torch.ones(3), "b": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(len(content), size=random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            sniff_file(path)
        except InputError:
            refused += 1
    assert refused > 30
