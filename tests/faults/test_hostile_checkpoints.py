"""Cases 73 to 78: files made by somebody who wants two readers to see two things, or much to come of little."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import time
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from checkpoints import converted, refused, refused_measured, saved
from conftest import TINY, TINY_OVERRIDES
from support.archives import Archive, Part, other_end_record, taken_apart, two_directories
from support.crafted import LEGACY_MAGIC, mapping, number, pickled, storage, tensor, text
from support.mutations import legacy_parts, rebuilt, records

import ast2hf
from ast2hf.checkpoint import second_reading, synthetic
from ast2hf.errors import InputError
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import HUGGING_FACE

OTHER = pickled(mapping(other=tensor(stored=storage("0", 1000))))

MARK = "executed"

HARMFUL = b"cos\nsystem\n" + text(f"touch {MARK}") + b"\x85R"


@pytest.fixture(scope="module")
def state_dict():
    return synthetic.state_dict(AST, TINY, 1)


def other_pickle(archive: Archive, other: bytes) -> Archive:
    """The same length and names, another pickle."""
    pickle_ = next(part for part in archive.parts if part.name.endswith(b"/data.pkl"))
    pickle_.content = other.ljust(len(pickle_.content), b"\0")
    return archive


def two_readings(content: bytes, other: bytes) -> dict[str, bytes]:
    twin, nul = taken_apart(content), taken_apart(content)
    twin.parts.insert(1, Part(b"archive/DATA.PKL", other))
    nul.parts[0].name += b"\0x"
    nul.parts.insert(1, Part(b"archive/Data.pkl", other))
    return {
        "several entries with the same name": twin.join(),
        "0 data.pkl entries instead of one": nul.join(),
        "directory is not where": two_directories(taken_apart(content), other_pickle(taken_apart(content), other)),
        "locator points elsewhere": other_end_record(taken_apart(content), other_pickle(taken_apart(content), other)),
    }


@pytest.mark.fault(
    73,
    "a second pickle that torch.load would read: a name in capitals, with NUL, a second directory, a second end record",
)
@pytest.mark.parametrize("other", [OTHER, pickled(HARMFUL)], ids=["other tensors", "os.system"])
def test_an_archive_with_two_readings(cli, state_dict, came_out, other):
    for words, content in two_readings(saved(state_dict), other).items():
        result = refused(cli, content)
        assert words in result.error_line
    assert not list(cli.folder.parent.rglob(MARK))
    came_out(result)


def legacy_and_tar(content: bytes, filler: bytes) -> bytes:
    """A legacy file that is also the header of a tar archive, with ``filler`` as its extended attributes.

    The header is in a text of the third pickle, beside what torch.save writes into that.
    """
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = pickle.dumps(LEGACY_MAGIC, 2) + pickle.dumps(1001, 2)
    start = len(head) + len(b"\x80\x02}(X....")
    header = bytearray(512)
    header[: len(head)] = head
    header[len(head) : start] = b"\x80\x02}(X" + (512 - start + len(filler)).to_bytes(4, "little")
    header[124:136] = b"%011o\0" % len(filler)
    header[156:157] = b"x"
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    items = b"K\x01" + b"".join(pickle.dumps(key, 2)[2:-1] + pickle.dumps(system[key], 2)[2:-1] for key in system)
    _, object_, rest = legacy_parts(content)
    return bytes(header) + filler + items + b"u." + object_ + rest


@pytest.mark.fault(74, "a legacy file that is also the header of a tar archive, with 200 KB of extended attributes")
def test_a_legacy_file_that_is_also_a_tar_archive(cli, state_dict, came_out):
    plain = saved(state_dict, zipped=False)
    content = legacy_and_tar(plain, b"1" * 200_000)
    found = tarfile.TarInfo.frombuf(content[:512], "utf-8", "surrogateescape")  # the control: it is one
    assert (found.type, found.size) == (tarfile.XHDTYPE, 200_000)
    started = time.perf_counter()
    expected = converted(cli, plain, "plain")
    between = time.perf_counter()
    both = converted(cli, content, "both")
    assert both.files == expected.files
    assert time.perf_counter() - between < 10 * (between - started)  # tarfile takes minutes for such a header
    came_out(both.result, same_bytes=both.files == expected.files)


def test_a_tar_archive_of_an_old_torch_is_still_named(cli):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name))
    assert "is a tar archive, not a checkpoint" in refused(cli, buffer.getvalue()).error_line


TINY_ARGUMENTS = {"model": "ast_16_16", "labels": "none", "audio": "packaged", "overrides": TINY_OVERRIDES[1:]}


def overwrite(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


def rename(path: Path, content: bytes) -> None:
    other = path.with_name("other.pth")
    other.write_bytes(content)
    other.replace(path)


def twice(content: bytes) -> bytes:
    """The same tensors, all doubled."""
    state = torch.load(io.BytesIO(content), weights_only=True)
    return saved({name: 2 * value for name, value in state.items()})


CHANGES = {
    "overwritten": lambda path: overwrite(path, twice(path.read_bytes())),
    "one byte": lambda path: overwrite(path, b"PK\3\4\1"),
    "cut off": lambda path: os.truncate(path, 3000),
    "emptied": lambda path: os.truncate(path, 0),
    "appended to": lambda path: path.open("ab").write(b"more"),
    "replaced by other weights": lambda path: rename(path, twice(path.read_bytes())),
    "replaced by a list": lambda path: rename(path, saved([torch.ones(1)])),
    "replaced by an empty dict": lambda path: rename(path, saved({})),
    "replaced by fewer tensors": lambda path: rename(path, saved({"module.v.cls_token": torch.ones(1, 1, 64)})),
    "replaced by integers": lambda path: rename(path, saved({"module.v.cls_token": torch.ones(1, 1, 64).int()})),
}

WHEN = {
    "before it is copied": (HUGGING_FACE, "write"),
    "before it is read again": (second_reading, "load"),
}


@pytest.mark.fault(
    75,
    "a checkpoint overwritten, cut off, appended to and replaced after vetting, before it is copied and read again",
)
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_changes_while_it_is_read(tiny_checkpoint, tmp_path, monkeypatch, came_out, change, when):
    place, name = WHEN[when]
    plain = getattr(place, name)

    def changed(*arguments):
        CHANGES[change](tiny_checkpoint)
        return plain(*arguments)

    time.sleep(0.02)  # so that the change has another time: the kernel counts in ticks
    monkeypatch.setattr(place, name, changed)
    with pytest.raises(InputError, match=r"changed while it was being read|shrank while it was being read") as caught:
        ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", **TINY_ARGUMENTS)
    assert caught.value.exit_code == 3
    assert not list(tmp_path.glob("*out*"))
    came_out(caught.value)


def test_a_checkpoint_that_changes_after_it_was_read_again(tiny_checkpoint, tmp_path, monkeypatch):
    """All that is published is of the old bytes, but that is not known."""
    load = second_reading.load

    def loaded(state_dict):
        found = load(state_dict)
        overwrite(tiny_checkpoint, twice(tiny_checkpoint.read_bytes()))
        return found

    time.sleep(0.02)
    monkeypatch.setattr(second_reading, "load", loaded)
    with pytest.raises(InputError, match="changed while it was being read"):
        ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", **TINY_ARGUMENTS)


def with_pickle(content: bytes, change) -> bytes:
    entries = records(content)
    return rebuilt({**entries, "archive/data.pkl": change(entries["archive/data.pkl"])})


@pytest.mark.fault(76, "attributes on the state dict that hide its methods items, keys, values and copy")
def test_attributes_that_hide_methods(cli, state_dict, came_out):
    plain = saved(OrderedDict(state_dict))
    hidden = mapping(**{name: number(7) for name in ("items", "keys", "values", "copy", "__class__", "_metadata")})
    content = with_pickle(plain, lambda pickle_: pickle_[:-1] + hidden + b"b.")
    hiding, expected = converted(cli, content, "hidden"), converted(cli, plain, "plain")
    assert hiding.files == expected.files
    came_out(hiding.result, same_bytes=hiding.files == expected.files)


def layers(state_dict: dict, count: int) -> dict:
    """``count`` layers, all with the tensors of the first."""
    first = {name: value for name, value in state_dict.items() if ".blocks.0." in name}
    rest = {name: value for name, value in state_dict.items() if ".blocks." not in name}
    return rest | {n.replace("blocks.0", f"blocks.{i}"): value for i in range(count) for n, value in first.items()}


@pytest.mark.fault(78, "1,000 layers, and 120 layers, that all share the tensors of the first")
@pytest.mark.parametrize(
    ("count", "words"), [(1000, "has 1,000 layers, over the limit of 128"), (120, "over the limit of 4 times")]
)
def test_layers_that_share_their_tensors(cli, state_dict, came_out, count, words):
    result, _, megabytes = refused_measured(cli, saved(layers(state_dict, count)))
    assert words in result.error_line
    assert megabytes < 500
    came_out(result)


def test_layers_that_share_their_tensors_are_converted_within_the_limits(cli, state_dict):
    """The control: three layers of which two are the same."""
    files = converted(cli, saved(layers(state_dict, 3)), "three").files
    assert "model.safetensors" in files


@pytest.mark.parametrize(
    ("wrapped", "words"),
    [
        (lambda tensors: {**tensors, "a\ud800": torch.ones(3)}, "is not a valid tensor name"),
        (lambda tensors: {"a\ud800": tensors}, "contains no state dict"),
    ],
)
def test_names_that_cannot_be_written(cli, state_dict, wrapped, words):
    """Half of a surrogate pair: pickle writes and reads it, a report cannot have it."""
    result = refused(cli, saved(wrapped(state_dict)), "unused=drop")
    assert words in result.error_line


def test_an_unread_object_whose_name_cannot_be_written(cli, state_dict):
    class_ = b"X\x03\x00\x00\x00\xed\xa0\x80" + text("C") + b"\x93"
    content = with_pickle(saved({"model": state_dict}), lambda pickle_: pickle_[:-1] + text("x") + class_ + b")Rs.")
    assert "damaged" in refused(cli, content).error_line
