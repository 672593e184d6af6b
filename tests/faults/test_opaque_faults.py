"""Cases 89 to 108: what is left unread in a checkpoint, pickled modules, and safetensors files made to do harm."""

import argparse
import collections
import functools
import json
import os
import pickle
import re
import struct
import time

import numpy as np
import pytest
import torch
from checkpoints import as_module, converted, refused, refused_measured, saved
from conftest import TINY
from safetensors.torch import save as safetensors
from support.crafted import ORDERED_DICT, legacy, mapping, number, pickled, tensor, text, zipped

from ast2hf.checkpoint import synthetic
from ast2hf.checkpoint.pickles import unpickle_restricted
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.stack_machine import MAX_STEPS
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError
from ast2hf.families.ast import AST

AST_WEIGHTS = {name.removeprefix("module."): value for name, value in synthetic.state_dict(AST, TINY, 1).items()}
SMALL = {"v.cls_token": torch.ones(1, 1, 64), "v.norm.bias": torch.zeros(64)}
NEVER_RUN = "nothing was executed"


def refusal(path, content: bytes | None = None) -> InputError:
    """What opening the file says; it is refused without a command line, in the process of the test."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught, open_checkpoint(path) as checkpoint:
        checkpoint.select([Part(candidate.keys) for candidate in checkpoint.candidates[:1]])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    return caught.value


def crafted_refusal(tmp_path, body: bytes, words: str) -> InputError:
    """The refusal of ``body`` in a zip and in a legacy file, which must be for the same reason."""
    error = refusal(zipped(tmp_path / "zip.pth", body))
    assert words in str(error)
    assert words in str(refusal(legacy(tmp_path / "legacy.pth", body, ["0"], bytes(16))))
    return error


class Payload:
    """Touches a file where it is unpickled."""

    def __init__(self, path):
        self.command = f"touch '{path}'"

    def __reduce__(self):
        return os.system, (self.command,)


class Stateful:
    """Runs its state where it is unpickled: ``__setstate__`` is given what the pickle says."""

    def __init__(self, payload):
        self.payload = payload

    def __getstate__(self):
        return (None, {"payload": self.payload})

    def __setstate__(self, state):
        self.payload = state


class Called:
    """Has the payload among the arguments of a harmless function."""

    def __init__(self, payload):
        self.payload = payload

    def __reduce__(self):
        return collections.Counter, ([self.payload],)


@pytest.fixture
def payload(tmp_path):
    """A payload that was seen to run, and whose file does not exist at the end of the test."""
    marker = tmp_path / "ran"
    made = Payload(marker)
    pickle.loads(pickle.dumps(made))
    assert marker.exists(), "the payload is none"
    marker.unlink()
    yield made
    assert not marker.exists()


@pytest.mark.fault(89, "os.system in a Namespace, a partial, a defaultdict, an object array beside the weights")
def test_payloads_inside_opaque_objects(cli, tmp_path, payload, came_out):
    array = np.array([None], dtype=object)
    array[0] = payload
    for inside in (
        argparse.Namespace(a=[{"b": payload}]), functools.partial(print, payload),
        collections.defaultdict(list, a=payload), array, Called(payload), {1, 2, (payload,)},
    ):  # fmt: skip
        for content in (saved({"model": SMALL, "args": inside}), saved({"args": inside, **SMALL}, zipped=False)):
            assert NEVER_RUN in str(refusal(tmp_path / "w.pth", content))
    result = refused(cli, content)
    assert "posix.system" in result.error_line
    assert NEVER_RUN in result.error_line
    came_out(result)


@pytest.mark.fault(90, "a payload in the arguments of __reduce__, as its function, and in functions of functions")
def test_payloads_in_reduce(tmp_path, payload, came_out):
    harmless, system = b"cm\nf\n", b"cposix\nsystem\n" + text(payload.command) + b"\x85R"
    for body in (
        harmless + system + b"\x85R",
        harmless + b")R" + system + b"\x85R",
        harmless + b")\x81" + system + b"\x85R",
        harmless + system + b"\x85\x81",
        harmless + b")" + mapping(x=system) + b"\x92",
        b"(" + harmless + system + b"o",
        b"(" + system + b"im\nf\n",
        b"(" + text(payload.command) + b"iposix\nsystem\n",
        system + b"0}",
    ):
        error = crafted_refusal(tmp_path, mapping(model=mapping(w=tensor()), x=body), NEVER_RUN)
    came_out(error)


@pytest.mark.fault(91, "a payload in the state that __setstate__ would get")
def test_payloads_in_setstate(tmp_path, payload, came_out):
    for value in (Stateful(payload), [Stateful([payload])], argparse.Namespace(state=Stateful(payload))):
        for zip_format in (True, False):
            error = refusal(tmp_path / "w.pth", saved({"model": SMALL, "x": value}, zip_format))
            assert NEVER_RUN in str(error)
    came_out(error)


@pytest.mark.fault(92, "a payload in a pickled module: as a part, a parameter, a hook, an attribute, in its class")
def test_payloads_in_module_trees(tmp_path, payload, came_out):
    for place in ("_modules", "_parameters", "_buffers", "_forward_hooks"):
        module = as_module(SMALL)
        getattr(module.v.norm, place)["x"] = payload
        error = refusal(tmp_path / "w.pth", saved({"net": module}))
        assert NEVER_RUN in str(error)
    module = as_module(SMALL)
    module.v.config = argparse.Namespace(x=payload)
    assert NEVER_RUN in str(refusal(tmp_path / "w.pth", saved(module)))
    state = mapping(_parameters=mapping(w=tensor()), _buffers=b"}", _modules=b"}")
    for kind in (b"csubprocess\nPopen\n", b"cbuiltins\neval\n"):
        crafted_refusal(tmp_path, kind + b")\x81" + state + b"b", NEVER_RUN)
    came_out(error)


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


@pytest.mark.fault(93, "payloads of protocols 4 and 5; names assembled from the memo; Python 2 names")
def test_payloads_of_later_protocols(cli, tmp_path, payload, came_out):
    for protocol in (3, 4, 5):
        data = pickle.dumps({"args": argparse.Namespace(x=payload)}, protocol)
        with pytest.raises(InputError, match=NEVER_RUN):
            unpickle_restricted(data)
    command = text(payload.command) + b"\x85R"
    memo = short("posix") + b"\x94" + b"0" + short("system") + b"\x94" + b"0"  # memo 0 and 1
    for body in (
        memo + b"h\x00h\x01\x93" + command,
        memo + b"h\x00" + b"2" + b"0h\x01\x93" + command,
        short("torch.serialization") + short("os.system") + b"\x93" + command,
        short("collections") + short("abc.sys.modules") + b"\x93",
        short("builtins") + short("eval") + b"\x93" + command,
        b"ccommands\ngetoutput\n" + command,
        b"c__builtin__\nexecfile\n" + command,
    ):
        with pytest.raises(InputError, match=NEVER_RUN):
            unpickle_restricted(pickled(mapping(model=mapping(w=tensor()), x=body)))
    with pytest.raises(InputError, match="damaged"):
        unpickle_restricted(pickled(b"]" + short("system") + b"\x93"))
    body = mapping(model=mapping(w=tensor()), x=memo + b"h\x00h\x01\x93" + command)
    result = refused(cli, zipped(tmp_path / "w.pth", body).read_bytes())
    assert "refers to posix.system" in result.error_line
    came_out(result)


@pytest.mark.fault(94, "a payload as the key of a dict; keys that are objects, nested tuples, huge numbers")
def test_payloads_in_keys(tmp_path, payload, came_out):
    system = b"cposix\nsystem\n" + text(payload.command) + b"\x85R"
    error = crafted_refusal(tmp_path, b"}" + system + tensor() + b"s", NEVER_RUN)
    tuples = b")" + b"q\x00h\x00\x86" * 60
    keys = (b"cm\nKey\n)R", tuples, number(2**60), b"\x88", b"N")
    for key in keys:
        inside = b"}(" + text("w") + tensor() + text("v") + tensor() + key + b"Nu"
        crafted_refusal(tmp_path, inside, "is not a valid tensor name")
    beside = mapping(model=mapping(w=tensor()), x=b"}(" + b"".join(key + b"K\x01" for key in keys) + b"u")
    with open_checkpoint(zipped(tmp_path / "w.pth", beside)) as checkpoint:
        assert [candidate.keys for candidate in checkpoint.candidates] == [("model",)]
    came_out(error)


def attribute(owner: bytes, name: str) -> bytes:
    return b"cbuiltins\ngetattr\n" + owner + text(name) + b"\x86R"


@pytest.mark.fault(95, "attributes of attributes through getattr, and getattr itself left in the file")
def test_getattr(tmp_path, came_out):
    counter = b"ccollections\nCounter\n"
    for body in (
        attribute(counter, "__init__"),
        attribute(attribute(counter, "elements"), "__globals__"),
        attribute(attribute(b"ctorch.serialization\nload_\n", "os"), "system"),
        attribute(b"cbuiltins\nobject\n", "__subclasses__"),
        b"cfunctools\npartial\ncbuiltins\ngetattr\n" + counter + text("elements") + b"\x87R",
    ):
        error = crafted_refusal(tmp_path, mapping(model=mapping(w=tensor()), x=body), NEVER_RUN)
    came_out(error)


@pytest.mark.fault(96, "extension codes, persistent ids of protocol 0, buffers outside the pickle, unknown opcodes")
def test_what_needs_something_outside_the_file(tmp_path, came_out):
    for code, words in (
        (b"\x82\x01", "uses EXT1"), (b"\x83\x01\x00", "uses EXT2"), (b"\x84\x01\x00\x00\x00", "uses EXT4"),
        (b"P0\n", "uses PERSID"), (b"\x97", "uses NEXT_BUFFER"), (b"N\x98", "uses READONLY_BUFFER"),
        (b"\x80\x06", "damaged"), (b"\xff", "damaged"), (text("x") + b"Q", "in an unknown form"),
    ):  # fmt: skip
        error = crafted_refusal(tmp_path, mapping(model=mapping(w=tensor())) + code, words)
    came_out(error)


@pytest.mark.fault(
    97, "BUILD that changes the items of a state dict, gives a function or a tensor a state, an object two"
)
def test_build_hides_nothing(tmp_path, came_out):
    hidden = mapping(**{"x": tensor(), "v": tensor()})
    named = b"(" + text("w") + tensor() + text("v") + tensor() + b"u"
    for state in (mapping(items=hidden), mapping(keys=b"N", __class__=b"N"), b"N" + mapping(items=hidden) + b"\x86"):
        path = zipped(tmp_path / "w.pth", ORDERED_DICT + b")R" + named + state + b"b")
        with open_checkpoint(path) as checkpoint:
            assert [list(candidate.tensors) for candidate in checkpoint.candidates] == [["w", "v"]]
    for body in (
        b"cm\nf\n" + mapping(x=b"N") + b"b",
        tensor() + mapping(dtype=text("int8")) + b"b",
        b"]" + mapping(append=b"N") + b"b",
        b"cm\nf\n)\x81" + mapping(x=b"N") + b"b" + mapping(x=tensor()) + b"b",
        b"cm\nf\nNa",
    ):
        error = crafted_refusal(tmp_path, mapping(model=mapping(w=tensor()), x=body), "damaged")
    came_out(error)


@pytest.mark.fault(98, "a dict, an object and a list that contain themselves; a module that is its own part")
def test_cycles(tmp_path, came_out):
    loop = argparse.Namespace()
    loop.own, loop.list, loop.dict = loop, [], {"model": SMALL}
    loop.list.append(loop.list)
    loop.dict["up"] = loop
    (tmp_path / "w.pth").write_bytes(saved({"x": loop, **SMALL}))
    with open_checkpoint(tmp_path / "w.pth") as checkpoint:
        assert [candidate.keys for candidate in checkpoint.candidates] == [(), ("x", "dict", "model")]
    module = as_module(SMALL)
    module.v._modules["again"] = module
    error = refusal(tmp_path / "w.pth", saved(module))
    assert "deep or contain themselves" in str(error)
    came_out(error)


@pytest.mark.fault(99, "a pickled module in DataParallel whose parts share tensors and storages")
def test_shared_storages_across_modules(cli, came_out):
    both = torch.stack([AST_WEIGHTS["v.norm.weight"], AST_WEIGHTS["v.norm.bias"]])
    qkv = AST_WEIGHTS["v.blocks.0.attn.qkv.weight"].t().contiguous().t()
    values = {
        **AST_WEIGHTS, "v.norm.weight": both[0], "v.norm.bias": both[1], "v.blocks.0.attn.qkv.weight": qkv,
        "v.blocks.1.norm1.weight": AST_WEIGHTS["v.blocks.0.norm1.weight"],
    }  # fmt: skip
    found = converted(cli, saved(torch.nn.DataParallel(as_module(values)), zipped=False), "module")
    expected = converted(cli, saved({name: value.clone() for name, value in values.items()}), "plain")
    assert found.files == expected.files
    assert "some tensors share storage; each is written in full" in found.log
    came_out(found.result, same_bytes_as_from_the_state_dict=found.files == expected.files)


@pytest.mark.fault(100, "two million opaque objects of four bytes each; as many as the limits allow")
def test_two_million_objects(cli, tmp_path, came_out):
    many = b"](cm\nf\nq\x00" + b"h\x00)R" * 2_000_000 + b"e"
    result, _, megabytes = refused_measured(cli, zipped(tmp_path / "w.pth", many).read_bytes())
    assert "over the limit of" in result.error_line
    assert megabytes < 1000
    start = time.process_time()
    assert "takes more than" in str(refusal(zipped(tmp_path / "w.pth", many[:3_900_000] + b"e")))
    let_through = b"](cm\nf\nq\x00" + b"h\x00)R" * (MAX_STEPS // 3 - 100) + b"e"
    assert "contains a list" in str(refusal(zipped(tmp_path / "w.pth", let_through)))
    assert time.process_time() - start < 30
    came_out(result)


@pytest.mark.fault(101, "opaque objects in each other's arguments and states, 100,000 deep")
def test_deep_objects(tmp_path, came_out):
    depth = 100_000
    arguments = (b"cm\nf\nq\x000" + b"h\x00" * depth + b")" + b"R\x85" * depth)[:-1]
    states = b"cm\nf\nq\x000" + b"h\x00)\x81" * depth + b"b" * (depth - 1)
    entries = b"cm\nf\nq\x000" + b"h\x00)\x81K\x00" * 60_000 + b"N" + b"s" * 60_000
    unread = []
    for body in (arguments, states, entries):
        value = mapping(model=mapping(w=tensor()), x=body)
        with open_checkpoint(zipped(tmp_path / "w.pth", value)) as checkpoint:
            assert [candidate.keys for candidate in checkpoint.candidates] == [("model",)]
            assert checkpoint.opaque["m.f"] >= 60_000
            unread.append(checkpoint.opaque["m.f"])
        del checkpoint  # with all those objects, one in the other
    came_out(left_unread=unread)


@pytest.mark.fault(
    102, "a whole number of a megabyte, in binary and in digits; a memo index for which other readers allocate memory"
)
def test_huge_numbers(tmp_path, came_out):
    for body, words in (
        (b"\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20), "a number of 8,388,601 bits"),
        (b"L" + b"9" * (1 << 20) + b"L\n", "damaged"),
        (b"I" + b"9" * 5000 + b"\n", "damaged"),
        (b"}r" + struct.pack("<I", 1 << 31), "a memo entry 2,147,483,648"),
        (b"}p2147483648\n", "a memo entry 2,147,483,648"),
        (b"\x8b" + struct.pack("<i", -1), "damaged"),
    ):
        error = crafted_refusal(tmp_path, mapping(model=mapping(w=tensor()), x=body), words)
    came_out(error)


@pytest.mark.fault(103, "bytes, bytearrays, object arrays and sets that claim gigabytes or are copied at every step")
def test_bombs_in_opaque_objects(tmp_path, came_out):
    claimed = (8 << 30).to_bytes(8, "little")
    for body, words in (
        (b"\x8e" + claimed + b"x", "damaged"), (b"\x96" + claimed + b"x", "damaged"), (b"\x8d" + claimed, "damaged"),
    ):  # fmt: skip
        error = crafted_refusal(tmp_path, mapping(model=mapping(w=tensor()), x=body), words)
    long = text("x" * 1_000_000) + b"q\x010"
    copied = b"c_codecs\nencode\nq\x000" + long + b"](" + b"h\x00h\x01\x85R" * 50_000 + b"e"
    many = b"](" + b"N" * 100_000 + b"eq\x010"
    sets = b"cbuiltins\nset\nq\x000" + many + b"](" + b"h\x00h\x01\x85R" * 50_000 + b"e"
    arrays = b"](" + (b"cnumpy\nndarray\n" + number(8 << 30) + b"\x85R") * 1000 + b"e"
    start = time.process_time()
    for body in (copied, sets, arrays):
        with open_checkpoint(zipped(tmp_path / "w.pth", mapping(model=mapping(w=tensor()), x=body))) as checkpoint:
            assert len(checkpoint.candidates) == 1
    assert time.process_time() - start < 30
    came_out(error)


def module(parameters: bytes, modules: bytes = b"}") -> bytes:
    """An object of an unknown class with the attributes of a module."""
    return b"cm\nM\n)\x81" + mapping(_parameters=parameters, _buffers=b"}", _modules=modules) + b"b"


@pytest.mark.fault(104, "objects like modules: _parameters that is not a dict, parts that are not modules, odd names")
def test_fake_modules(tmp_path, came_out):
    for fake in (b"N", b"]", b"K\x01", text("x"), tensor(), b"cm\nf\n)R"):
        error = crafted_refusal(tmp_path, tensor() + module(fake) + b"\x86", "contains a tuple, not a state dict")
    crafted_refusal(
        tmp_path, module(mapping(w=tensor()), mapping(x=b"K\x01")), "contains something that is not a module (x)"
    )
    crafted_refusal(tmp_path, module(mapping(w=tensor(), x=text("y"))), "contains something that is not a tensor (x)")
    crafted_refusal(tmp_path, module(b"}K\x01" + tensor() + b"s"), "a name that is not text")
    crafted_refusal(tmp_path, module(mapping(**{"../w": tensor()})), "is not a valid tensor name")
    came_out(error)


@pytest.mark.fault(105, "modules that share their parts: 2 to the power of 60 names; long names; 200 levels")
def test_modules_that_multiply(tmp_path, came_out):
    doubled = module(mapping(w=tensor())) + b"q\x00"
    for _ in range(60):
        doubled += b"0" + module(b"}", mapping(a=b"h\x00", b=b"h\x00")) + b"q\x00"
    start = time.process_time()
    error = crafted_refusal(tmp_path, doubled, "have more than 200,000 parts")
    assert time.process_time() - start < 30
    crafted_refusal(tmp_path, module(b"}", mapping(**{"x" * 100_000: module(mapping(w=tensor()))})), "too long")
    nested = module(mapping(w=tensor()))
    for _ in range(200):
        nested = module(b"}", mapping(a=nested))
    crafted_refusal(tmp_path, nested, "more than 100 deep")
    came_out(error)


def with_header(header: object, data: bytes = bytes(32)) -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + data


ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
SECOND = {**ENTRY, "data_offsets": [16, 32]}


@pytest.mark.fault(106, "safetensors: overlapping tensors, a gap, trailing bytes, wrong dtypes, a long header")
def test_safetensors_whose_tensors_do_not_fit(cli, tmp_path, came_out):
    path = tmp_path / "w.pth"
    long = with_header(b'{"x":"' + b" " * (5 << 20) + b'"}')
    for content, words in (
        (with_header({"w": ENTRY, "x": {**ENTRY, "data_offsets": [8, 24]}}), "overlap"),
        (with_header({"w": ENTRY, "x": {**ENTRY, "data_offsets": [20, 36]}}), "leave a gap"),
        (with_header({"w": ENTRY}), "bytes, expected"),
        (with_header({"w": ENTRY, "x": SECOND}, bytes(31)), "bytes, expected"),
        (with_header({"w": {**ENTRY, "dtype": "F16"}, "x": SECOND}), "has 16 bytes, expected 8"),
        (with_header({"w": {**ENTRY, "dtype": "F33"}, "x": SECOND}), "unknown dtype F33"),
        (with_header({"w": {**ENTRY, "shape": [2**62, 2**62]}, "x": SECOND}), "has 16 bytes, expected"),
        (long, "over the limit of 4,194,304"),
    ):
        assert words in str(refusal(path, content))
    result = refused(cli, with_header({"v.cls_token": ENTRY, "x": {**ENTRY, "data_offsets": [8, 24]}}))
    assert "overlap (x)" in result.error_line
    came_out(result)


@pytest.mark.fault(107, "safetensors: a duplicate name, nested JSON, endless numbers, names with ESC; a valid file")
def test_safetensors_whose_header_is_hostile(cli, tmp_path, came_out):
    path = tmp_path / "w.pth"
    entry, second = json.dumps(ENTRY).encode(), json.dumps(SECOND).encode()
    for content, words in (
        (with_header(b'{"w":' + entry + b',"w":' + second + b"}"), "a key appears twice"),
        (with_header(b'{"w":' + b"[" * 1_000_000 + b"}"), "is damaged"),
        (with_header(b'{"w":' + b"9" * 10_000 + b"}"), "is damaged"),
        (with_header(b'{"w":\xff}'), "is damaged"),
        (with_header({"\x1b[31m": ENTRY, "x": SECOND}), r"'\x1b[31m' is not a valid tensor name"),
        (with_header({"w": {**ENTRY, "dtype": "\x1b[31m"}, "x": SECOND}), r"unknown dtype \x1b[31m"),
        (with_header({"w": ENTRY, "x": SECOND, "__metadata__": {"a": []}}), "is not text"),
    ):
        assert words in str(refusal(path, content))
    found = converted(cli, safetensors(AST_WEIGHTS, {"format": "pt"}), "safetensors")
    expected = converted(cli, saved(AST_WEIGHTS), "plain")
    assert found.files == expected.files
    came_out(found.result, same_bytes_as_from_a_pth=found.files == expected.files)


class Callback:
    def __init__(self):
        self.best = {"/runs/epoch=1.ckpt": torch.tensor(0.4)}
        self.path = np.str_("x")


@pytest.mark.fault(108, "a training checkpoint: args, partial, numpy, callbacks, optimizer, counters")
def test_a_training_checkpoint(cli, came_out):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.Adam([weight])
    optimizer.step()
    args = argparse.Namespace(lr=1e-5, device=torch.device("cpu"), metrics=np.float64(0.4), tags={"a", "b"})
    value = {
        "epoch": np.int64(3), "args": args, "make": functools.partial(torch.optim.Adam, lr=1e-5),
        "dtype": torch.float16, "seen": torch.tensor(7),
        "callbacks": {"Callback": Callback()}, "optimizer_states": [optimizer.state_dict()], "scores": np.ones(3),
        "counts": {(1, 2): 3, None: 4}, "hyper": collections.defaultdict(list, a=[1]),
        "state_dict": {f"net.{name}": tensor_ for name, tensor_ in AST_WEIGHTS.items()},
    }  # fmt: skip
    found = [converted(cli, saved(value, zip_format), f"model{zip_format}") for zip_format in (True, False)]
    plain = converted(cli, saved(AST_WEIGHTS), "plain")
    assert found[0].files == found[1].files == plain.files
    (said,) = re.findall("note: (left unread: .*)", found[0].log)
    assert "argparse.Namespace (1)" in said
    assert "functools.partial (1)" in said
    same = found[0].files == found[1].files == plain.files
    came_out(found[0].result, same_bytes_as_from_the_state_dict=same, said=[said])
