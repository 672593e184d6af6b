import argparse
import ast
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.crafted import legacy, mapping, tensor, text, zipped

from ast2hf.checkpoint import second_pickles, second_reading, second_records
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError

both_formats = pytest.mark.parametrize("zip_format", [True, False], ids=["zip", "legacy"])

BASE = torch.arange(24.0).reshape(4, 6)

TENSORS = {
    "plain": torch.arange(6.0).reshape(2, 3),
    "scalar": torch.tensor(7.0),
    "none": torch.zeros(0, 3),
    "half": torch.tensor([0.1, -3.0]).half(),
    "brain": torch.tensor([0.1, -3.0]).bfloat16(),
    "double": torch.tensor([0.1, -3.0]).double(),
    "count": torch.tensor(5),
    "transposed": BASE.t(),
    "inner": BASE[1:3, 2:5],
    "steps": BASE[::2, ::3],
    "parameter": torch.nn.Parameter(torch.ones(3)),
    "rows": BASE[2:],
}


def save(value, path, zip_format=True):
    torch.save(value, path, _use_new_zipfile_serialization=zip_format)
    return path


def read(path, *parts):
    with open_checkpoint(path) as checkpoint:
        return second_reading.load(checkpoint.select(parts or [Part()]))


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        wanted = value.detach().float() if value.is_floating_point() else value
        assert found[name].dtype == wanted.dtype
        assert torch.equal(found[name], wanted), name


@both_formats
@pytest.mark.parametrize("keys", [(), ("model",), ("nets", 1, "state")])
def test_tensors_of_all_kinds(tmp_path, zip_format, keys):
    value = TENSORS
    for key in reversed(keys):
        value = {"epoch": 3, key: value} if isinstance(key, str) else [None, value]
    path = save(value, tmp_path / "w.pth", zip_format)
    assert_same(read(path, Part(keys)), TENSORS)


@both_formats
def test_parts_and_prefixes(tmp_path, zip_format):
    value = {"model": {f"module.{n}": t for n, t in TENSORS.items()}, "head": {"0.weight": torch.ones(2, 2)}}
    path = save(value, tmp_path / "w.pth", zip_format)
    found = read(path, Part(("model",), "module.", only={"plain", "rows"}), Part(("head",), "", "head."))
    assert_same(found, {"plain": TENSORS["plain"], "rows": TENSORS["rows"], "head.0.weight": torch.ones(2, 2)})


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(2, 2, bias=False) for _ in range(2)])
        self.register_buffer("window", torch.ones(4), persistent=False)
        self.same = self.first


@both_formats
@pytest.mark.filterwarnings("ignore")
def test_a_pickled_module(tmp_path, zip_format):
    net = Net()
    path = save({"net": net, "epoch": 3}, tmp_path / "w.pth", zip_format)
    assert_same(read(path, Part(("net",))), net.state_dict())


@both_formats
def test_objects_around_the_state_dict(tmp_path, zip_format):
    value = {
        "args": argparse.Namespace(lr=np.float64(1e-4), names={"a", "b"}),
        "path": Path("somewhere"),
        ("a", "pair"): np.arange(3),
        "state_dict": TENSORS,
    }
    assert_same(read(save(value, tmp_path / "w.pth", zip_format), Part(("state_dict",))), TENSORS)


def test_safetensors(tmp_path):
    value = {name: t.detach().contiguous().clone() for name, t in TENSORS.items()}
    save_file({f"model.{name}": t for name, t in value.items()}, tmp_path / "w.safetensors")
    found = read(tmp_path / "w.safetensors", Part((), "model."))
    assert_same({name: found[name] for name in value}, value)


def test_attributes_of_the_state_dict_do_not_hide_its_items(tmp_path):
    ordered = b"ccollections\nOrderedDict\n)R" + mapping(w=tensor())[1:]
    found = read(zipped(tmp_path / "w.pth", ordered + mapping(items=b"K\x07", keys=b"K\x07") + b"b"))
    assert found["w"].tolist() == [[1, 2], [3, 4]]


def test_crafted_files_of_both_formats_are_sound(tmp_path):
    """The control of the tests below."""
    assert read(zipped(tmp_path / "w.pth", mapping(w=tensor())))["w"].tolist() == [[1, 2], [3, 4]]
    stored = np.arange(4, dtype="<f4").tobytes()
    assert read(legacy(tmp_path / "w.pth", mapping(w=tensor()), ["0"], stored))["w"].tolist() == [[0, 1], [2, 3]]


@both_formats
@pytest.mark.parametrize(
    ("before", "after"), [(b"plain", b"other"), (b"FloatStorage", b"BFloat16Sto")], ids=["a name", "a class"]
)
def test_another_pickle_than_the_vetted_one_is_refused(tmp_path, zip_format, before, after):
    path = save({"plain": torch.ones(100)}, tmp_path / "w.pth", zip_format)
    with open_checkpoint(path) as checkpoint:
        state_dict = checkpoint.select([Part()])
        content = path.read_bytes()
        path.write_bytes(content.replace(before, after[: len(before)].ljust(len(before), b"x")))
        words = "changed while it was being read" if not zip_format else "changed while it was being read|BadZipFile"
        with pytest.raises(InputError, match=words):
            second_reading.load(state_dict)


@both_formats
@pytest.mark.parametrize("size", [0, 20, 700])
def test_a_file_cut_off_after_vetting_is_refused(tmp_path, zip_format, size):
    path = save({"w": torch.ones(1000)}, tmp_path / "w.pth", zip_format)
    with open_checkpoint(path) as checkpoint:
        state_dict = checkpoint.select([Part()])
        with path.open("r+b") as file:
            file.truncate(size)
        with pytest.raises(
            InputError, match=r"second reading of the checkpoint failed|changed while it was being read"
        ):
            second_reading.load(state_dict)


def changed(monkeypatch, change) -> None:
    """Let the second reading unpickle something else than the first."""
    loads = second_pickles.loads

    def load(data, count=1):
        values, storages = loads(data, count)
        change(values[0])
        return values, storages

    monkeypatch.setattr(second_records, "loads", load)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.update(w=value["w"]._replace(shape=(4, 1), stride=(1, 1))), "differ in w"),
        (
            lambda value: value.update(w=value["w"]._replace(storage=value["b"].storage._replace(kind="IntStorage"))),
            "w",
        ),
        (lambda value: value.update(more=value["w"]), "differ in more"),
        (lambda value: value.pop("b"), "differ in b"),
        (lambda value: value.clear(), "differ in w"),
        (lambda value: value.update(w=value["w"]._replace(offset=3)), r"second reading of the checkpoint failed"),
    ],
    ids=["shape", "dtype", "more", "fewer", "nothing", "beyond the storage"],
)
def test_readings_that_differ_are_noticed(tmp_path, monkeypatch, change, words):
    path = zipped(tmp_path / "w.pth", mapping(w=tensor(), b=tensor()))
    changed(monkeypatch, change)
    with pytest.raises(InputError, match=words):
        read(path)


def test_only_needed_storages_are_read_and_only_once(tmp_path, monkeypatch):
    path = save({"a": BASE, "b": BASE[1:], "c": torch.ones(3), "optimizer": [torch.ones(5)]}, tmp_path / "w.pth")
    sizes = []
    records = second_reading._tensors

    def counted(views, record):
        return records(views, lambda storage: sizes.append(storage.numel) or record(storage))

    monkeypatch.setattr(second_reading, "_tensors", counted)
    read(path, Part(only={"a", "b"}))
    assert sizes == [24]


def test_it_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(save(TENSORS, tmp_path / "w.pth"))


def test_it_shares_no_code_with_the_first_reading():
    shared = set()
    for module in (second_reading, second_pickles, second_records):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ast2hf"):
                shared.add(node.module.removeprefix("ast2hf.checkpoint."))
    assert shared == {"ast2hf.errors", "second_pickles", "second_records", "state_dict"}
    # … of which the last is for type checkers alone.
    assert not hasattr(second_reading, "StateDict")


def test_keys_that_lead_to_two_state_dicts_are_refused(tmp_path):
    """One of them is met elsewhere before, so that the first reading has it under other keys, and takes the other."""
    one, other = (mapping(w=tensor((2,), (1,), offset)) for offset in (0, 2))
    both = b"cm\nn\n)R" + text("a") + b"h\x09s" + mapping(a=other) + b"b"
    path = zipped(tmp_path / "w.pth", mapping(first=one + b"q\x09", both=both))
    with pytest.raises(InputError, match="holds two state dicts under the same keys"):
        read(path, Part(("both", "a")))


def test_a_list_that_many_modules_share_is_not_read_for_each(tmp_path):
    attributes = {"_parameters": mapping(w=tensor()), "_buffers": b"}", "_modules": b"}"}
    hidden = b"](" + b"N" * 50_000 + b"eq\x010"
    part = b"cm\nn\n)R" + mapping(**attributes, _non_persistent_buffers_set=b"h\x01") + b"b"
    parts = mapping(**{f"m{i}": part for i in range(3_000)})
    root = b"cm\nn\n)R" + mapping(**{**attributes, "_modules": parts}) + b"b"
    with open_checkpoint(zipped(tmp_path / "w.pth", hidden + root)) as checkpoint:
        state_dict = checkpoint.select([Part()])
        start = time.process_time()
        assert len(second_reading.load(state_dict)) == 3_001
    assert time.process_time() - start < 1.5
