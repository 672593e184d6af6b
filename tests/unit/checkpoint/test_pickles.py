import argparse
import builtins
import collections
import datetime
import enum
import functools
import io
import os
import pathlib
import pickle
import time
import zipfile

import numpy as np
import pytest
import torch
from support.crafted import TENSOR, mapping, number, numbers, pickled, storage, tensor, text

from ast2hf.checkpoint.opaque import Opaque
from ast2hf.checkpoint.pickles import unpickle_restricted
from ast2hf.checkpoint.stack_machine import MAX_STEPS
from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
from ast2hf.errors import InputError

WEIGHT = Storage("0", "float32", 4)


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        unpickle_restricted(data)
    assert "weights_only" not in str(caught.value)
    return str(caught.value)


def test_plain_values_as_pickle_writes_them():
    value = {"a": [1, 256, 70000, -1, 2**40, 1.5, "text", None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}
    data = pickle.dumps(value, 2)
    assert unpickle_restricted(data + b"more") == (value, {}, [], len(data))


def test_memo_and_shared_objects():
    shared = ["x"]
    root = unpickle_restricted(pickle.dumps({"a": shared, "b": shared, 3: {}}, 2)).root
    assert root == {"a": ["x"], "b": ["x"], 3: {}}
    assert root["a"] is root["b"]


def test_a_tensor_is_only_described():
    found = unpickle_restricted(pickled(mapping(w=tensor((2, 2), (1, 2)))))
    assert found.root == {"w": TensorMeta(WEIGHT, 0, (2, 2), (1, 2))}
    assert found.storages == {"0": WEIGHT}
    assert found.tensors == [found.root["w"]]


def test_a_tensor_of_absurd_size_costs_nothing():
    size = 2**62
    found = unpickle_restricted(pickled(tensor((size,), (1,), stored=storage(numel=size))))
    assert found.root == TensorMeta(Storage("0", "float32", size), 0, (size,), (1,))


def test_module_versions_beside_a_state_dict_are_ignored():
    state_dict = torch.nn.Linear(1, 1).state_dict()
    assert state_dict._metadata
    body = b"ccollections\nOrderedDict\n)R(" + text("w") + tensor() + b"u" + mapping(_metadata=mapping()) + b"b"
    assert list(unpickle_restricted(pickled(body)).root) == ["w"]


class Payload:
    def __init__(self, call, argument):
        self.call, self.argument = call, argument

    def __reduce__(self):
        return self.call, (self.argument,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_malicious_globals_are_named_and_never_run(tmp_path, protocol):
    canary = tmp_path / "canary"
    payloads = {
        "system": Payload(os.system, f"touch {canary}"),
        "eval": Payload(builtins.eval, f"open({str(canary)!r}, 'w')"),
    }
    for name, payload in payloads.items():
        message = refusal(pickle.dumps({"w": payload}, protocol))
        assert f".{name}, which is not part of a plain state dict (nothing was executed)" in message
        assert "torch.save(model.state_dict(), path)" in message
    assert not canary.exists()


every_protocol = pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])


class Listed(list):
    pass


class Filled(dict):
    pass


class WithKeywords:
    def __new__(cls, *, size=0):
        return object.__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"size": 3}


class Colour(enum.Enum):
    RED = 1


@every_protocol
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (torch.nn.ReLU(), "torch.nn.modules.activation.ReLU"),
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (functools.partial(int, base=2), "functools.partial"),
        (np.float64(0.5), ".multiarray.scalar"),
        (np.array([{}], dtype=object), ".multiarray._reconstruct"),
        (pathlib.PurePosixPath("/a"), "pathlib.PurePosixPath"),
        (torch.device("cpu"), "torch.device"),
        (torch.float16, "torch.float16"),
        (Colour.RED, "test_pickles.Colour"),
        (Listed([1]), "test_pickles.Listed"),
        (Filled(a=1), "test_pickles.Filled"),
        (collections.Counter("a"), "collections.Counter"),
        (ValueError("x"), "s.ValueError"),
        (slice(1), "builtins.slice"),
        (datetime.date(2000, 1, 1), "datetime.date"),
    ],
)
def test_other_objects_are_left_unread(value, name, protocol):
    root = unpickle_restricted(pickle.dumps({"before": 1, "best": value, "after": 2}, protocol)).root
    assert list(root) == ["before", "best", "after"]
    assert type(root["best"]) is Opaque
    assert root["best"].name.endswith(name)


@every_protocol
def test_the_parts_of_an_object_are_kept_as_far_as_they_are_plain(protocol):
    found = unpickle_restricted(pickle.dumps([argparse.Namespace(lr=0.5), Listed([1, 2]), Filled(a=3)], protocol)).root
    assert found[0].state == {"lr": 0.5}
    assert found[1].elements == [1, 2] or found[1].args[2] == [1, 2]
    assert found[2].entries == {"a": 3} or found[2].args[2] == {"a": 3}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_keywords_of_an_object(protocol):
    found = unpickle_restricted(pickle.dumps(WithKeywords(), protocol)).root
    if protocol >= 4:
        assert found.name == f"{__name__}.WithKeywords"
        assert found.entries == {"size": 3}
    else:  # functools.partial(WithKeywords.__new__, WithKeywords, size=3)()
        assert found.name == "functools.partial"


@every_protocol
def test_plain_containers_of_any_protocol(protocol):
    value = {
        "set": {7}, "frozen": frozenset([8]), "default": collections.defaultdict(list, a=1), "big": 2**100,
        "ordered": collections.OrderedDict(a=1), "float": 0.1, "text": "ä€\n", "tuple": (1, 2, 3, 4), "bool": True,
    }  # fmt: skip
    expected = {**value, "set": [7], "frozen": [8], "default": {"a": 1}, "ordered": {"a": 1}}
    assert unpickle_restricted(pickle.dumps(value, protocol)).root == expected


@every_protocol
def test_bytes_cost_no_more_than_they_take_in_the_file(protocol):
    found = unpickle_restricted(pickle.dumps([b"\xff\x00"], protocol)).root[0]
    assert found == b"\xff\x00" if protocol > 2 else found.name == "_codecs.encode"


def test_objects_that_contain_themselves():
    namespace = argparse.Namespace()
    namespace.own = namespace
    root = unpickle_restricted(pickle.dumps(namespace, 2)).root
    assert root.state["own"] is root


@pytest.mark.parametrize("kind", ["tuple", "Opaque", "bool", "NoneType", "float", "int", "str"])
def test_unusual_keys_are_not_kept(kind):
    key = {
        "tuple": b")" + nested(60), "Opaque": b"cpathlib\nPath\n)R", "bool": b"\x88", "NoneType": b"N",
        "float": b"G" + bytes(8), "int": number(2**24),
        "str": text("x" * 1001),
    }[kind]  # fmt: skip
    root = unpickle_restricted(pickled(b"}(" + text("a") + b"N" + key + b"N" + key + b"Nu")).root
    assert list(map(str, root)) == ["a", f"a dict key of type {kind}", f"a dict key of type {kind}"]


def test_a_key_that_cannot_be_written_is_not_kept():
    root = unpickle_restricted(pickle.dumps({"a\ud800": 1, "ü\U0001f600": 2}, 2)).root
    assert list(map(str, root)) == ["a dict key of type str", "ü\U0001f600"]


def nested(depth: int) -> bytes:
    return b"q\x00h\x00\x86" * depth


def test_tensors_with_attributes_of_their_own():
    weight = torch.ones(2, 2)
    weight.no_weight_decay = True
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.tag = Colour.RED
    buffer = io.BytesIO()
    torch.save({"w": weight, "p": parameter}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        root = unpickle_restricted(archive.read("archive/data.pkl")).root
    assert [root[name].shape for name in "wp"] == [(2, 2), (3,)]


def nested_tuple(depth: int) -> bytes:
    """t = (t, t), sixty times: its hash, its text and its comparison take for ever."""
    return b")" + b"q\x00h\x00\x86" * depth


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (tensor((2, -2)), "invalid shape"),
        (tensor((2**63,), (1,)), "invalid shape"),
        (tensor((1,) * 17, (1,) * 17), "invalid shape"),
        (tensor(offset=-1), "outside its storage"),
        (tensor(stored=b"N"), "outside its storage"),
        (storage(numel=-1), "in an unknown form"),
        (storage(kind="FloatStorage").replace(b"storage", b"pickled"), "in an unknown form"),
        (nested_tuple(60) + b"Q", "in an unknown form"),
        (b"](" + storage() + storage(numel=5) + b"e", "in two different ways"),
        (b"](" + storage() + storage(kind="IntStorage") + b"e", "in two different ways"),
        (b"ccollections\nOrderedDict\n](]NNeeR", "damaged"),
        (b"NN\x86R", "damaged"),
        (b"X\x03\x00\x00\x00\xed\xa0\x80" + text("C") + b"\x93", "the name of a global is not text"),
        (tensor(rest=b"\x89}" + b"N" * 100), "a tensor of too many arguments"),
        (text("m") + text("a." * 65 + "b") + b"\x93", "is not part of a plain state dict"),
        (b"N)R", "call of something that is not callable"),
        (b"]NNs", "that is not a dict"),
        (b"}(Nu", "that is not a dict"),
        (b"}Na", "that is not a list"),
        (b"h\x05", "damaged"),
        (b"u", "damaged"),
        (b"", "damaged"),
    ],
)
def test_nonsense_is_refused(body, words):
    assert words in refusal(pickled(body))


@pytest.mark.parametrize(
    "target",
    [b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", tensor(), b"]"],
)
def test_build_changes_nothing_but_a_dict(target):
    tampering = mapping(__call__=b"N", dtype=text("int8"), __setstate__=b"N")
    for state in (tampering, b"N" + tampering + b"\x86"):
        assert "damaged" in refusal(pickled(target + state + b"b"))
    assert unpickle_restricted(pickled(mapping(w=tensor()))).root["w"].storage.dtype == "float32"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",  # BYTEARRAY8 of a terabyte
        b"\x80\x02X\xff\xff\xff\xffx.",  # text of 4 GB
        b"\x80\x02I" + b"9" * 10_000 + b"\n.",  # a number whose conversion is quadratic
        b"\x80\x02\x8b" + (1 << 20).to_bytes(4, "little") + b"\x01" * (1 << 20) + b".",
        b"\x80\x02(ios\nx\n.",
    ],
)
def test_memory_bombs_are_refused(data):
    refusal(data)


def test_a_far_memo_entry_is_refused_because_other_readers_make_room_for_it():
    assert "memo entry 2,147,483,647" in refusal(b"\x80\x02}r\xff\xff\xff\x7f.")
    assert unpickle_restricted(b"\x80\x02}r\x00\x01\x00\x00.").root == {}


@pytest.mark.parametrize("body", [b"}" * MAX_STEPS, b"(" * MAX_STEPS, b")" + b"\x85" * MAX_STEPS])
def test_the_steps_are_counted(body):
    assert "takes more than 500,000 steps" in refusal(pickled(body))


def test_repeatedly_used_objects_are_read_once():
    many = TENSOR + b"q\x000(" + storage() + number(0) + numbers((2, 2)) + numbers((2, 1)) + b"\x89}" + b"N" * 100_000
    named = text("m") + b"q\x020" + text("a." * 480) + b"q\x030"
    started = time.perf_counter()
    refusal(pickled(many + b"tq\x010" + b"h\x00h\x01R0" * 10_000 + b"N"))
    refusal(pickled(named + b"h\x02h\x03\x930" * 50_000 + b"N"))
    assert time.perf_counter() - started < 3


def test_deep_nesting_needs_no_recursion():
    depth = 60_000
    root = unpickle_restricted(pickled(b"}" + (text("a") + b"}") * depth + b"s" * depth)).root
    for _ in range(depth):
        root = root["a"]
    assert root == {}


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 10, -1])
def test_a_cut_pickle_is_incomplete(kept):
    data = pickle.dumps({"a": [1, 2, 3]}, 2)
    assert "download the file again: it is incomplete or damaged" in refusal(data[:kept])
