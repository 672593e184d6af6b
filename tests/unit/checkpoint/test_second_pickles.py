import pickle
import time
from collections import OrderedDict, defaultdict

import pytest
from support.crafted import mapping, number, pickled, tensor, text

from ast2hf.checkpoint.second_pickles import Dict, StandIn, Storage, View, loads


class Anything:
    """Pickled by name."""

    def __init__(self) -> None:
        self.value = [1, 2]


class Sticky(dict):
    """Pickled with items, elements and a state."""


def read(data: bytes) -> object:
    (value,), _ = loads(data)
    return value


def read_again(value: object, protocol: int) -> object:
    return read(pickle.dumps(value, protocol))


protocols = pytest.mark.parametrize("protocol", range(6))


@protocols
def test_plain_values_are_read_as_they_are(protocol):
    value = {"a": [1, -2, 1 << 40, 1.5, None, True], "b": ("x", (), {"c": "ü"}), 3: [[]], "d": "x" * 300}
    assert read_again(value, protocol) == value


@protocols
def test_other_mappings_are_dicts_and_sets_are_lists(protocol):
    found = read_again([OrderedDict(a=1), defaultdict(list, b=2), {"only"}, frozenset({"one"})], protocol)
    assert found == [{"a": 1}, {"b": 2}, ["only"], ["one"]]


@protocols
def test_an_object_becomes_a_stand_in_with_its_contents(protocol):
    found = read_again({"it": Anything(), "again": Anything}, protocol)
    assert type(found["it"]) is type(found["again"]) is StandIn
    assert found["it"].state == {"value": [1, 2]}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_items_of_an_object_are_kept(protocol):
    sticky = Sticky(a=1)
    sticky.more = 2
    found = read_again(sticky, protocol)
    assert found.state == {"more": 2}
    assert found.entries == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"cos\nsystem\n" + text("touch made") + b"\x85R",
        b"cbuiltins\neval\n" + text("open('made', 'w')") + b"\x85R",
        b"(" + text("touch made") + b"ios\nsystem\n",
        b"(cos\nsystem\n" + text("touch made") + b"o",
        b"cno.such.module\nName\n)\x81",
        b"cos\nsystem\n" + text("touch made") + b"\x85}\x92",
        b"cos\nsystem\n" + text("touch made") + b"\x85R" + text("touch made") + b"\x85R",
    ],
)
def test_nothing_is_imported_or_called(tmp_path, monkeypatch, body):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.__import__", lambda name, *_: pytest.fail(f"imports {name}"))
    found = read(pickled(body))
    monkeypatch.undo()
    assert type(found) is StandIn
    assert not list(tmp_path.iterdir())


def test_a_tensor_is_a_view_of_a_storage():
    value, storages = loads(pickled(mapping(w=tensor((2, 1), (1, 7), 3))))
    assert value == [{"w": View(Storage("0", "FloatStorage", 4), 3, (2, 1), (1, 7))}]
    assert storages == {"0": Storage("0", "FloatStorage", 4)}


def test_attributes_of_a_state_dict_do_not_hide_its_methods():
    ordered = b"ccollections\nOrderedDict\n)R" + text("w") + number(1) + b"s"
    found = read(pickled(ordered + mapping(items=number(7)) + b"b"))
    assert type(found) is Dict
    assert list(found.items()) == [("w", 1)]


def test_keys_that_take_for_ever_to_hash_are_not_hashed():
    deep = b")" + b"2\x86" * 100  # a pair of a pair of …, 2 ** 100 in all
    started = time.perf_counter()
    found = read(pickled(b"}" + deep + b"Ns\x8f(" + deep + b"\x90\x86"))
    assert time.perf_counter() - started < 1
    assert len(found[0]) == len(found[1]) == 1
    assert read(pickled(b"}(" + b"".join(number(2**61 * i) + b"N" for i in range(1, 50)) + b"u"))


def test_many_arguments_are_not_copied_at_each_call():
    function, many = b"cmodule\nname\n", b"(" + b"N" * 20_000 + b"t"
    started = time.perf_counter()
    read(pickled(function + b"\x94" + many + b"\x94" + b"h\x00h\x01R0" * 20_000 + b"R"))
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize("size", [0, 3, 5, 1 << 40])
def test_a_frame_does_not_reach_into_the_next_pickle(size):
    framed = b"\x80\x04\x95" + size.to_bytes(8, "little")
    assert loads(framed + b"K\x01." + framed + b"K\x02.", 2)[0] == [1, 2]


def test_depth_does_not_matter():
    value = read(pickled(b"]" * 20_000 + b"a" * 19_999))
    assert type(value) is list
    value = read(pickled(b"cmodule\nname\n\x94)R" + b"h\x00)R" * 20_000 + b"b" * 20_000))
    assert type(value) is StandIn


@pytest.mark.parametrize("body", [b"0", b"N(R", b"N)R", b"cmodule\nname\nNb", b"NQ", b"(NQ", b"h\x05"])
def test_unreadable_data_raises(body):
    with pytest.raises(Exception):  # noqa: B017, PT011  it may raise anything
        read(pickled(body))
