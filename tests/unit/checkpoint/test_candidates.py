import argparse
import io
import zipfile
from collections import OrderedDict

import pytest
import torch
from support.crafted import mapping, pickled, tensor, text
from torch import nn

from ast2hf.checkpoint import candidates, module_trees
from ast2hf.checkpoint.pickles import unpickle_restricted
from ast2hf.errors import InputError


def read(value: object) -> object:
    """The root of what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return unpickle_restricted(archive.read("archive/data.pkl")).root


def find(value: object) -> dict[tuple[str | int, ...], list[str]]:
    return {found.keys: list(found.tensors) for found in candidates.find(read(value)).candidates}


def refusal(value: object) -> str:
    with pytest.raises(InputError) as caught:
        candidates.find(read(value))
    return str(caught.value)


def weights(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.ones(2) for name in names}


W = weights("w")


class Wrapper:
    def __init__(self, **attributes):
        self.__dict__ |= attributes


class Filled(dict):
    pass


class Listed(list):
    pass


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (W, ()),
        ({"anything": W}, ("anything",)),
        ({"a": {"b": {"c": W}}}, ("a", "b", "c")),
        ([1, W], (1,)),
        (({"x": [None, W]},), (0, "x", 1)),
        ({3: W}, (3,)),
        (Wrapper(ema=W), ("ema",)),
        ({"trainer": Wrapper(model={"net": W})}, ("trainer", "model", "net")),
        ({"filled": Filled(net=W)}, ("filled", "net")),
        ({"listed": Listed([5, W])}, ("listed", 1)),
        ({"state_dict": Filled(W), "net": W}, ("net",)),
    ],
)
def test_a_state_dict_is_found_wherever_it_is(value, keys):
    assert find(value)[keys] == ["w"]


def test_all_candidates_in_the_order_of_the_file():
    other = weights("x", "y")
    value = {"net": W, "epoch": 3, "nested": {"swa": other, "again": W}, "classifier": weights("0.weight")}
    assert find(value) == {("net",): ["w"], ("nested", "swa"): ["x", "y"], ("classifier",): ["0.weight"]}


def test_other_values_that_a_state_dict_may_hold():
    value = {**weights("a", "b", "c", "d"), "_metadata": {"": {"version": 1}}, "epoch": 3, "none": None}
    assert find(value) == {(): ["a", "b", "c", "d"]}
    with_a_dict_inside = {**weights("a", "b"), "classifier": W}
    assert find(with_a_dict_inside) == {(): ["a", "b"], ("classifier",): ["w"]}


def test_mappings_that_are_not_state_dicts():
    value = {"model": W, "best": {"/runs/epoch=1.ckpt": torch.tensor(0.4)}, "pos_weight": torch.ones(3), "epoch": 1}
    assert find(value) == {("model",): ["w"]}


def optimizer() -> torch.optim.Optimizer:
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    made = torch.optim.Adam([weight])
    made.step()
    return made


@pytest.mark.parametrize("value", [{"o": optimizer().state_dict()}, {"o": [optimizer().state_dict()]}])
def test_an_optimizer_has_none(value):
    assert find({**value, "model": W}) == {("model",): ["w"]}
    assert "contains no state dict (its keys: o)" in refusal(value)
    assert "is the state of an optimizer" in refusal(optimizer().state_dict())
    assert "is the state of an optimizer" in refusal(optimizer())


def test_tensors_shared_with_an_optimizer_are_found():
    shared = {**W}
    assert find({"o": {"state": shared, "param_groups": [shared]}, "model": shared}) == {("model",): ["w"]}


def test_objects_left_unread_are_counted_once_each():
    args = argparse.Namespace(a=argparse.Namespace())
    found = candidates.find(read({"args": args, "again": [args], "device": torch.device("cpu"), "model": W}))
    assert found.opaque == {"argparse.Namespace": 2, "torch.device": 1}


def test_cycles_end():
    loop = argparse.Namespace()
    loop.own = loop
    value = {"loop": loop, "model": W, "list": [loop]}
    loop.back = value
    assert find(value) == {("model",): ["w"]}


def test_thousands_of_candidates_are_refused():
    shared = tensor() + b"q\x010"
    for count in (candidates.MAX_CANDIDATES, candidates.MAX_CANDIDATES + 1):
        root = unpickle_restricted(pickled(shared + b"](" + (b"}" + text("w") + b"h\x01s") * count + b"e")).root
        if count == candidates.MAX_CANDIDATES:
            assert len(candidates.find(root).candidates) == count
    with pytest.raises(InputError, match="contains more than 1,000 state dicts"):
        candidates.find(root)


@pytest.mark.parametrize(("depth", "offered"), [(1, True), (31, True), (32, False), (5000, False)])
def test_deeply_nested_state_dicts_are_not_offered(depth, offered):
    nested = (b"}" + text("a")) * depth + mapping(w=tensor()) + b"s" * depth
    value = b"](" + nested + mapping(w=tensor()) + b"e"
    found = [c.keys for c in candidates.find(unpickle_restricted(pickled(value)).root).candidates]
    assert found[-1] == (1,)
    assert len(found) == 1 + offered


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.linear = nn.Linear(2, 2, bias=False)
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.register_buffer("absent", None)
        self.missing = None
        self.config = argparse.Namespace(depth=2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 2))
        self.blocks = nn.Sequential(Block(), nn.Identity(), Block())
        self.shared = self.blocks[0].linear


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: nn.Sequential(OrderedDict(_orig_mod=m))])
def test_a_pickled_module_has_the_names_of_its_state_dict(wrap):
    module = wrap(Net())
    expected = list(module.state_dict())
    assert find(module) == {(): expected}
    assert find({"net": module, "epoch": 1}) == {("net",): expected}
    assert candidates.find(read(module)).opaque == {"argparse.Namespace": 2}


def module(parameters: bytes = b"}", buffers: bytes = b"}", modules: bytes = b"}", name: str = "m.M") -> bytes:
    """An object with the attributes of a module."""
    kind = "c{}\n{}\n".format(*name.rsplit(".", 1)).encode()
    return kind + b")\x81" + mapping(_parameters=parameters, _buffers=buffers, _modules=modules) + b"b"


def crafted(body: bytes) -> candidates.Found:
    return candidates.find(unpickle_restricted(pickled(body)).root)


def test_a_module_of_unknown_class_is_read():
    found = crafted(module(mapping(w=tensor()), mapping(b=tensor()), mapping(inner=module(mapping(v=tensor())))))
    assert [list(candidate.tensors) for candidate in found.candidates] == [["w", "b", "inner.v"]]
    assert found.opaque == {}


@pytest.mark.parametrize("fake", [b"N", b"]", text("x"), b"K\x01", tensor()])
def test_an_object_whose_parameters_are_not_a_dict_is_not_a_module(fake):
    found = crafted(mapping(fake=module(fake, b"}", mapping(x=module(mapping(v=tensor()))))))
    assert [candidate.keys for candidate in found.candidates] == [("fake", "_modules", "x")]
    assert found.opaque == {"m.M": 1}


def test_a_value_that_is_not_a_tensor_is_unusable_in_a_module():
    found = crafted(module(mapping(w=tensor(), x=b"K\x01", n=b"N"), b"}", mapping(y=b"K\x01", z=b"N")))
    assert list(found.candidates[0].tensors) == ["w"]
    assert found.candidates[0].unusable == {
        "x": "something that is not a tensor",
        "y": "something that is not a module",
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        # M1's _modules = {"a": M1}
        (b"cm\nM\n)\x81q\x00" + mapping(_parameters=b"}", _buffers=b"}", _modules=mapping(a=b"h\x00")) + b"b", "deep"),
        (module(mapping(w=tensor()), mapping(w=tensor())), "have two tensors with the same name"),
        (
            module(b"}", b"}", b"}(" + text("a.b") + module(mapping(w=tensor())) + text("a")
                   + module(b"}", b"}", mapping(b=module(mapping(w=tensor())))) + b"u"),
            "have two tensors with the same name",
        ),
        (module(b"}K\x01" + tensor() + b"s"), "a name that is not text"),
        (module(mapping(**{"x" * 2000: tensor()})), "or is too long"),
    ],
)  # fmt: skip
def test_module_trees_that_torch_could_not_have_written(body, words):
    with pytest.raises(InputError, match=words):
        crafted(body)


def doubling(depth: int) -> bytes:
    """A module with two parts, which are the same, which has two parts …: 2 to the power of ``depth`` names."""
    body = module(mapping(w=tensor())) + b"q\x00"
    for _ in range(depth):
        body = body + b"0" + module(b"}", b"}", mapping(a=b"h\x00", b=b"h\x00")) + b"q\x00"
    return body


def test_modules_that_double_are_counted(monkeypatch):
    assert len(crafted(doubling(3)).candidates[0].tensors) == 8
    monkeypatch.setattr(module_trees, "MAX_ENTRIES", 1000)
    with pytest.raises(InputError, match="have more than 1,000 parts"):
        crafted(doubling(60))


def test_a_module_without_weights_is_not_a_candidate():
    with pytest.raises(InputError, match=r"an object of torch.nn.modules.linear.Identity, left unread"):
        candidates.find(read(nn.Identity()))
