import argparse
import hashlib
import itertools
import os
import pathlib
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.crafted import TENSOR, legacy, mapping, number, numbers, storage, tensor, zipped

from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.errors import InputError

both_formats = pytest.mark.parametrize("zip_format", [True, False], ids=["zip", "legacy"])

PLAIN = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor(7.0), "none": torch.zeros(0, 3)}


def save(value, path, zip_format=True):
    torch.save(value, path, _use_new_zipfile_serialization=zip_format)
    return path


def refusal(path) -> str:
    with pytest.raises(InputError) as caught, open_checkpoint(path) as checkpoint:
        checkpoint.select([Part()])
    assert "weights_only" not in str(caught.value)
    return str(caught.value)


def assert_read_as_torch_reads(path, names=None, part=None):
    with open_checkpoint(path) as checkpoint:
        state_dict = checkpoint.select([part or Part()])
        loaded = torch.load(path, weights_only=True)
        for key in state_dict.parts[0].keys:
            loaded = loaded[key]
        expected = {state_dict.parts[0].renamed(name): value.detach().float() for name, value in loaded.items()}
        assert list(state_dict.tensors) == list(expected) == list(names or expected)
        for name, value in expected.items():
            found = state_dict.read(name)
            assert state_dict.shapes[name] == value.shape
            assert found.dtype == torch.float32
            assert found.is_contiguous()
            assert torch.equal(found, value)
            assert np.array_equal(state_dict.values(name).astype(np.float32), value.numpy())
        return state_dict.notes


@both_formats
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict", "net"])
def test_wrappers_and_prefixes_give_the_same_tensors(tmp_path, zip_format, prefix, wrapper):
    value = {prefix + name: tensor for name, tensor in PLAIN.items()}
    if wrapper:
        weight = torch.nn.Parameter(torch.ones(1))
        weight.grad = torch.ones(1)
        optimizer = torch.optim.Adam([weight])
        optimizer.step()
        value = {"epoch": 3, wrapper: value, "optimizer": optimizer.state_dict()}
    path = save(value, tmp_path / "w.pth", zip_format)
    notes = assert_read_as_torch_reads(path, PLAIN, Part((wrapper,) if wrapper else (), prefix))
    under = [f"the state dict was found under {wrapper}"] if wrapper else []
    removed = ["removed from the tensor names: prefix module."] if prefix else []
    assert list(notes) == under + removed


@both_formats
def test_the_bytes_of_plain_tensors_are_where_they_are_said_to_be(tmp_path, zip_format):
    shared = torch.arange(12.0)
    value = {**PLAIN, "part": shared[4:10].reshape(2, 3), "parameter": torch.nn.Parameter(torch.ones(2))}
    content = save(value, tmp_path / "w.pth", zip_format).read_bytes()
    with open_checkpoint(tmp_path / "w.pth") as checkpoint:
        for name, tensor_ in value.items():
            found = checkpoint.select([Part()]).tensors[name]
            place = found.bytes
            assert found.is_plain
            assert content[place.offset : place.offset + place.nbytes] == tensor_.detach().numpy().tobytes()


@both_formats
def test_module_state_dicts_with_their_metadata(tmp_path, zip_format):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    assert_read_as_torch_reads(save(module.state_dict(), tmp_path / "w.pth", zip_format), module.state_dict())


@both_formats
@pytest.mark.parametrize(
    ("dtype", "how"),
    [
        ("float16", "widened to float32 (exact)"),
        ("bfloat16", "widened to float32 (exact)"),
        ("float64", "rounded to float32"),
    ],
)
def test_other_floats_are_converted_and_that_is_noted(tmp_path, zip_format, dtype, how):
    value = {"w": torch.tensor([0.1, -3.0, 65000.0], dtype=getattr(torch, dtype)), "b": torch.ones(1)}
    notes = assert_read_as_torch_reads(save(value, tmp_path / "w.pth", zip_format))
    assert notes == (f"{dtype} tensors {how}: 1",)


@both_formats
def test_strided_and_shared_tensors_are_noted(tmp_path, zip_format):
    base = torch.arange(24.0).reshape(4, 6)
    value = {"base": base, "same": base, "transposed": base.t(), "inner": base[1:3, 2:5], "steps": base[::2, ::3]}
    notes = assert_read_as_torch_reads(save(value, tmp_path / "w.pth", zip_format))
    assert notes == (
        "non-contiguous tensors copied element by element: 3",
        "some tensors share storage; each is written in full",
    )


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    dtype = draw(st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]))
    base = torch.randn(shape).to(dtype)
    views = [base]
    for _ in range(draw(st.integers(0, 2))):
        view = views[-1]
        if view.ndim > 1 and draw(st.booleans()):
            view = view.transpose(*draw(st.lists(st.integers(0, view.ndim - 1), min_size=2, max_size=2)))
        elif view.ndim:
            axis = draw(st.integers(0, view.ndim - 1))
            start = draw(st.integers(0, view.shape[axis]))
            view = view[(slice(None),) * axis + (slice(start, None, draw(st.integers(1, 2))),)]
        views.append(view)
    return draw(st.lists(st.sampled_from(views), min_size=1, max_size=3))


@both_formats
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(tensors(), min_size=1, max_size=4), prefix=st.sampled_from(["", "module."]))
def test_any_tensors_are_read_as_torch_reads_them(tmp_path, zip_format, groups, prefix):
    value = {f"{prefix}{i}.{j}": view for i, group in enumerate(groups) for j, view in enumerate(group)}
    value[f"{prefix}one"] = torch.ones(1)
    path = save(value, tmp_path / "w.pth", zip_format)
    assert_read_as_torch_reads(path, part=Part(prefix=prefix))


@both_formats
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.optim.Adam([torch.ones(1)]).state_dict(), "is the state of an optimizer"),
        ([torch.ones(1)], "contains a list, not a state dict"),
        (torch.ones(1), "contains a single tensor, not a state dict"),
        (3, "contains a value of type int, not a state dict"),
        ({}, "its keys: none"),
        ({"audio_model": 3, "epoch": 1}, "its keys: audio_model, epoch"),
        (argparse.Namespace(lr=1), "contains an object of argparse.Namespace, left unread, not a state dict"),
        (torch.optim.Adam([torch.ones(1)]), "is the state of an optimizer"),
        ({"w": torch.eye(2).to_sparse()}, "contains a sparse tensor"),
        ({"w": torch.empty(2, device="meta")}, "contains a tensor without values"),
        ({"w": torch.ones(2, dtype=torch.uint16)}, "contains a tensor with an unsupported dtype"),
        ({"w": torch.imag(torch.ones(2, dtype=torch.complex64).conj())}, "has the negative or conjugate bit set"),
        ({1: torch.ones(1)}, "1 is not a valid tensor name"),
    ],
)
def test_what_has_no_state_dict_is_refused(tmp_path, zip_format, value, words):
    assert words in refusal(save(value, tmp_path / "w.pth", zip_format))


@both_formats
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({**PLAIN, 1: torch.ones(1)}, "1 is not a valid tensor name"),
        ({**PLAIN, (1, 2): torch.ones(1)}, "a dict key of type tuple is not a valid tensor name"),
        ({**PLAIN, "w": torch.eye(2).to_sparse()}, r"contains a sparse tensor \(w\)"),
        ({"w": torch.ones(1).expand(3)}, "needs more data than its storage has"),
        ({"../../etc": torch.ones(1)}, "not a valid tensor name"),
        ({"__metadata__": torch.ones(1)}, "'__metadata__' is not a valid tensor name"),
        ({"a\x00": torch.ones(1)}, r"'a\\x00' is not a valid tensor name"),
        ({"\x1b[31m": torch.ones(1)}, r"'\\x1b\[31m' is not a valid tensor name"),
        ({"x" * 1000: torch.ones(1)}, "x… is not a valid tensor name"),
    ],
)
def test_an_unusable_tensor_is_refused_only_if_it_is_chosen(tmp_path, zip_format, value, words):
    path = save({"model": value, "other": PLAIN}, tmp_path / "w.pth", zip_format)
    with open_checkpoint(path) as checkpoint, pytest.raises(InputError, match=words) as caught:
        assert list(checkpoint.select([Part(("other",))]).tensors) == list(PLAIN)
        checkpoint.select([Part(("model",))])
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


@pytest.mark.filterwarnings("ignore")
def test_quantized_tensors_are_refused(tmp_path):
    value = {"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}
    assert "contains a quantized tensor" in refusal(save(value, tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((25_000_000_000,), (0,), 0),
        ((2, 2), (2, 1), 1),
        ((4,), (1,), 2**62),
        ((2, 2), (2**62, 2**62), 0),
        ((2**32, 2**32), (1, 1), 0),
        ((0, 2**62, 2**62), (1, 1, 1), 0),
        ((2, 2), (1,), 0),
    ],
)
def test_views_beyond_their_storage_are_refused(tmp_path, shape, stride, offset):
    path = zipped(tmp_path / "w.pth", mapping(w=tensor(shape, stride, offset)))
    assert any(words in refusal(path) for words in ("needs more data than its storage has", "2 axes but 1 strides"))


@pytest.mark.parametrize(
    "beside", [tensor((2**31,), (1,)), tensor((2**31,), (1,), stored=storage("1", 2**31)), tensor(offset=2**40)]
)
def test_tensors_beside_the_state_dict_are_vetted_because_torch_makes_them(tmp_path, beside):
    body = mapping(model=mapping(w=tensor()), extra=beside)
    words = ("a tensor outside the state dict", "ends in the middle of storage", "lists storages that do not match")
    assert any(w in refusal(zipped(tmp_path / "zip.pth", body)) for w in words)
    assert any(w in refusal(legacy(tmp_path / "legacy.pth", body, ["0"], bytes(16))) for w in words)


def test_a_storage_of_absurd_size_is_refused(tmp_path):
    body = mapping(w=tensor((2**60,), (1,), stored=storage(numel=2**60)))
    assert f"storage of w has 16 bytes, expected {2**62:,}" in refusal(zipped(tmp_path / "zip.pth", body))
    assert "ends in the middle of storage" in refusal(legacy(tmp_path / "legacy.pth", body, ["0"], bytes(16)))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
@both_formats
def test_whole_numbers_matter_only_where_they_are_used(tmp_path, zip_format, dtype):
    counter = torch.tensor([[1, 0], [1, 1]]).to(dtype)
    path = save({**PLAIN, "counter": counter, "complex": torch.ones(2) * 1j}, tmp_path / "w.pth", zip_format)
    with open_checkpoint(path) as checkpoint:
        state_dict = checkpoint.select([Part()])
        assert state_dict.notes == ()
        assert state_dict.shapes["counter"] == (2, 2)
        assert state_dict.values("counter").tolist() == counter.tolist()
        with pytest.raises(InputError, match="complex has the complex dtype complex64"):
            state_dict.values("complex")
        for use in (state_dict.read, lambda name: state_dict.require_floats(["a.bias", name])):
            with pytest.raises(InputError, match=r"counter has dtype [a-z0-9]*, which is not floating point"):
                use("counter")


@both_formats
def test_unread_objects_are_noted(tmp_path, zip_format):
    args = argparse.Namespace(lr=1, path=pathlib.PurePosixPath("/a"))
    path = save({"model": PLAIN, "args": args, "more": argparse.Namespace()}, tmp_path / "w.pth", zip_format)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.opaque == {"argparse.Namespace": 2, "pathlib.PurePosixPath": 1}
        state_dict = checkpoint.select([Part(("model",))])
        assert state_dict.notes[-1] == "left unread: argparse.Namespace (2), pathlib.PurePosixPath (1)"
        assert checkpoint.root["args"].state["lr"] == 1


def test_an_expanded_tensor_matters_only_where_it_is_chosen(tmp_path):
    with open_checkpoint(save({**PLAIN, "x.w": torch.ones(1).expand(3)}, tmp_path / "w.pth")) as checkpoint:
        assert checkpoint.select([Part(prefix="a.")]).outside == {"none": (0, 3), "x.w": (3,)}
        with pytest.raises(InputError, match=r"x\.w of shape \[3\] needs more data than its storage has"):
            checkpoint.select([Part(prefix="x.")])


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    path = save({"w": torch.ones(1000)}, tmp_path / "w.pth")
    with open_checkpoint(path) as checkpoint:
        state_dict = checkpoint.select([Part()])
        assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert checkpoint.nbytes == path.stat().st_size
        os.truncate(path, 1000)
        with pytest.raises(InputError, match="shrank"):
            state_dict.read("w")


def test_paths_that_are_not_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path)
    assert "No such file or directory" in refusal(tmp_path / "missing.pth")
    assert "embedded null byte" in refusal(tmp_path / "a\0b")


def test_tensors_that_hash_alike_are_vetted_once_each(tmp_path):
    alike = [i * ((1 << 61) - 1) for i in range(4)]  # Python's numbers of the same hash
    strides = itertools.islice(itertools.product(alike, repeat=7), 8000)
    defined = b"".join(number(n) + b"q" + bytes([i]) + b"0" for i, n in enumerate(alike))
    defined += storage() + b"q\x040" + numbers((1,) * 7) + b"q\x050" + TENSOR + b"q\x060"
    made = (
        b"h\x06(h\x04K\x00h\x05(" + b"".join(b"h" + bytes([alike.index(n)]) for n in stride) + b"t\x89}tR"
        for stride in strides
    )
    path = zipped(tmp_path / "w.pth", defined + mapping(model=mapping(w=tensor()), x=b"](" + b"".join(made) + b"e"))
    start = time.process_time()
    with open_checkpoint(path) as checkpoint:
        assert len(checkpoint.candidates) == 1
    assert time.process_time() - start < 2
