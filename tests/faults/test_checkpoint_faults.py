"""Cases 1 to 11, 17 and 18: files that are no sound checkpoint."""

import argparse
import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch
from checkpoints import as_module, converted, refused, refused_measured, saved
from conftest import TINY
from support.crafted import legacy, mapping, number, pickled, storage, tensor, text, zipped

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

PLAIN = {"v.cls_token": torch.ones(1, 1, 64), "v.norm.bias": torch.zeros(64)}


@pytest.mark.fault(1, "an empty file")
def test_an_empty_file(cli, came_out):
    result = refused(cli, b"")
    assert "bad.pth is empty; download it again" in result.error_line
    came_out(result)


@pytest.mark.fault(2, "zip and legacy files truncated at 3, 4 and 50 %, and 30 bytes and 1 byte before the end")
def test_cut_files(cli, came_out):
    zip_file, legacy_file = saved(PLAIN), saved(PLAIN, zipped=False)
    for content in (
        zip_file[:3], zip_file[:4], zip_file[: len(zip_file) // 2], zip_file[:-30], zip_file[:-1],
        legacy_file[:4], legacy_file[: len(legacy_file) // 2], legacy_file[:-1],
    ):  # fmt: skip
        result = refused(cli, content)
        assert "download the file again: it is incomplete or damaged" in result.error_line
    came_out(result)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


def torchscript() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1)), buffer)
    return buffer.getvalue()


@pytest.mark.fault(3, "an HTML page, JSON, gzip, tar, TorchScript")
def test_other_formats(cli, came_out):
    for content, words in (
        (b"<!DOCTYPE html><html><title>Dropbox</title></html>", "is an HTML page"),
        (b'{"error": "link expired"}', "is JSON text"),
        (gzip.compress(saved(PLAIN)), "is a gzip file"),
        (tar(), "is a tar archive"),
        (torchscript(), "is a TorchScript archive"),
    ):
        result = refused(cli, content)
        assert words in result.error_line
        if "HTML" in words:
            assert "dl=1" in result.error_line
            came_out(result)


class Payload:
    def __init__(self, call, argument):
        self.call, self.argument = call, argument

    def __reduce__(self):
        return self.call, (self.argument,)


@pytest.mark.fault(4, "os.system and eval in a zip, a legacy file and bare pickles of protocols 0, 2 and 4")
def test_payloads_never_run(cli, came_out):
    marker = cli.folder / "ran"
    system, evaluate = Payload(os.system, f"touch '{marker}'"), Payload(eval, f"open({str(marker)!r}, 'w').close()")
    for payload in (system, evaluate):
        pickle.loads(pickle.dumps(payload))
        assert marker.exists(), "the payload is none"
        marker.unlink()
    value = {"v.cls_token": system, "v.norm.bias": evaluate}
    swapped = {"v.norm.bias": evaluate, "v.cls_token": system}
    for content in (
        saved(value), saved(swapped), saved(value, zipped=False), saved(swapped, zipped=False),
        pickle.dumps(value, 0), pickle.dumps(swapped, 2), pickle.dumps(value, 4),
    ):  # fmt: skip
        result = refused(cli, content)
        assert not marker.exists()
        assert any(name in result.error_line for name in ("posix.system", "builtin__.eval", "builtins.eval"))
        assert "nothing was executed" in result.error_line
    came_out(result)


@pytest.mark.fault(5, "a whole pickled module; an argparse.Namespace and a numpy scalar beside the state dict")
def test_more_than_a_state_dict(cli, came_out):
    ast = {n.removeprefix("module."): value for n, value in synthetic.state_dict(AST, TINY, 1).items()}
    beside = {"model": ast, "args": argparse.Namespace(lr=1), "best_mAP": np.float64(0.4)}
    found = [
        converted(cli, saved(value, zipped), f"model{i}")
        for i, (value, zipped) in enumerate(((ast, True), (beside, False), (as_module(ast), True)))
    ]
    assert [conversion.files for conversion in found] == [found[0].files] * 3
    said = re.findall("note: (left unread: .*)", found[1].log)
    assert len(said) == 1
    assert "argparse.Namespace (1)" in said[0]
    assert "left unread" not in found[2].log
    same = found[1].files == found[2].files == found[0].files
    came_out(found[-1].result, same_bytes_as_from_the_state_dict=same, said=said)


GIGABYTES = 8 << 30

BOMBS = {
    "bytearray": b"c__builtin__\nbytearray\n" + number(GIGABYTES) + b"\x85R",
    "BYTEARRAY8": b"\x96" + GIGABYTES.to_bytes(8, "little") + b"x",
    "FloatTensor": b"ctorch\nFloatTensor\n" + number(GIGABYTES) + b"\x85R",
    "a storage": mapping(w=tensor((GIGABYTES,), (1,), stored=storage("0", GIGABYTES))),
    "a tensor beside": mapping(model=mapping(w=tensor()), more=tensor((GIGABYTES,), (1,))),
    "dicts": b"}" * 4_000_000,
    "nested tuples": b")" + b"\x85" * 4_000_000,
}
"""What costs gigabytes or minutes where it is believed."""


@pytest.mark.fault(6, "pickles that ask for gigabytes (bytearray, FloatTensor, storages) or take millions of steps")
def test_bombs(cli, tmp_path, came_out):
    path = tmp_path / "bomb.pth"
    for number_, (what, body) in enumerate(BOMBS.items()):
        made = zipped(path, body) if number_ % 2 else legacy(path, body, ["0"], bytes(16))
        result, _, megabytes = refused_measured(cli, made.read_bytes())
        assert megabytes < 500, what
        if what == "bytearray":
            came_out(result)


def zip_bomb(path) -> bytes:
    """A gigabyte of zeros, deflated to one megabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", pickled(mapping(w=tensor((1 << 28,), (1,), stored=storage("0", 1 << 28)))))
        with archive.open("archive/data/0", "w") as entry:
            for _ in range(1 << 10):
                entry.write(bytes(1 << 20))
    return path.read_bytes()


def directory_bomb(entries: int = 1_000_000) -> bytes:
    """A directory of so many entries, each a Python object when it is read, and nothing behind it."""
    local = b"PK\x03\x04" + bytes(26)
    fixed = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    directory = b"".join(fixed + b"%08d" % i for i in range(entries))
    end = len(local) + len(directory)
    return b"".join(
        (
            local, directory,
            struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, len(directory), len(local)),
            struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1),
            struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
        )
    )  # fmt: skip


@pytest.mark.fault(7, "1 GB deflated to 1 MB; a directory of a million entries")
def test_zip_bombs(cli, tmp_path, came_out):
    for content, words in (
        (directory_bomb(), "the directory of"),
        (zip_bomb(tmp_path / "b"), "compressed or encrypted"),
    ):
        result, _, megabytes = refused_measured(cli, content)
        assert words in result.error_line
        assert megabytes < 500
    came_out(result)


@pytest.mark.fault(8, "a second data.pkl, with the same name and in another folder")
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_pickle(cli, tmp_path, came_out):
    for name, words in (
        ("other", "2 data.pkl entries instead of one"),
        ("archive", "several entries with the same name"),
    ):
        path = zipped(tmp_path / "w.pth", mapping(w=tensor()))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}/data.pkl", pickled(mapping(w=tensor())))
        result = refused(cli, path.read_bytes())
        assert words in result.error_line
    came_out(result)


@pytest.mark.fault(9, "one flipped bit, in the pickle and in a tensor of a zip")
def test_a_flipped_bit(cli, came_out):
    content = saved(PLAIN)
    for where in (content.index(b"v.norm.bias"), content.index(struct.pack("<4f", 1, 1, 1, 1)) + 50):
        damaged = bytearray(content)
        damaged[where] ^= 1
        result = refused(cli, damaged)
        assert "checksum (CRC) of archive/data" in result.error_line
    came_out(result)


@pytest.mark.fault(10, "a record shorter and longer than its tensor, in a zip and a legacy file")
def test_records_of_another_size(cli, tmp_path, came_out):
    path, body = tmp_path / "w.pth", mapping(w=tensor())
    for nbytes, words in ((20, "storage 0 has 5 elements, expected 4"), (12, "ends in the middle of storage 0")):
        result = refused(cli, legacy(path, body, ["0"], bytes(nbytes)).read_bytes())
        assert words in result.error_line
        result = refused(cli, zipped(path, body, _0=bytes(nbytes)).read_bytes())
        assert f"the storage of w has {nbytes} bytes, expected 16" in result.error_line
    came_out(result)


@pytest.mark.fault(11, "a view of 100 GB with stride 0, offsets beyond the storage, shapes that overflow 64 bits")
def test_views_beyond_their_storage(cli, tmp_path, came_out):
    path = tmp_path / "w.pth"
    for view in (
        tensor((2**32, 2**32), (1, 1)),
        tensor((2**63, 2), (1, 1)),
        tensor((2, 2), (2**62, 2**62)),
        tensor((4,), (1,), offset=2**62),
        tensor((4,), (1,), offset=1),
    ):
        result, _, megabytes = refused_measured(cli, zipped(path, mapping(w=view)).read_bytes())
        assert "needs more data than its storage has" in result.error_line or "invalid shape" in result.error_line
        assert megabytes < 500
    model = {**synthetic.state_dict(AST, TINY, 1), "module.v.norm.weight": torch.ones(1).expand(25_000_000_000)}
    result, _, megabytes = refused_measured(cli, saved(model))
    assert "needs more data than its storage has" in result.error_line
    assert megabytes < 500
    came_out(result)


@pytest.mark.fault(17, "keys: a path, ESC, NUL, __metadata__, 1 MB of text, a number")
def test_keys_that_are_not_names(cli, came_out):
    model = synthetic.state_dict(AST, TINY, 1)
    for key in ("x" * 1_000_000, 7, "module.../../etc/passwd", "module.v.\x00", "module.v.\x1b[31m\x1b]0;title\x07"):
        result = refused(cli, saved({**model, key: torch.ones(1)}))
        assert "is not a valid tensor name" in result.error_line
        assert len(result.error_line) < 400
        assert len(refused(cli, saved({key: torch.ones(1)})).error_line) < 400
    assert "(__metadata__ [1])" in refused(cli, saved({**model, "__metadata__": torch.ones(1)})).error_line
    refused(cli, saved({"v.\x1b[31m": "no tensor"}))
    came_out(result)


@pytest.mark.fault(18, "dicts in dicts, 200,000 and 60,000 deep")
def test_deep_dicts(cli, tmp_path, came_out):
    for depth, words in ((60_000, "contains no state dict (its keys: a)"), (200_000, "takes more than 500,000 steps")):
        body = b"}" + (text("a") + b"}") * depth + b"s" * depth
        path = tmp_path / "deep.pth"
        result = refused(cli, zipped(path, body).read_bytes())
        assert words in result.error_line
    came_out(result)
