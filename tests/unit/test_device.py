"""Which device is taken, and what is said where it has no memory. No GPU is needed: torch is told that it has some."""

import pytest
import torch
from conftest import compose

from ast2hf import device
from ast2hf.errors import ConfigurationError


@pytest.fixture
def gpus(monkeypatch):
    """Set how many GPUs of each kind torch sees."""

    def gpus(cuda=0, mps=0):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps > 0)

    return gpus


@pytest.mark.parametrize(
    ("name", "cuda", "mps", "expected"),
    [
        ("cpu", 0, 0, "cpu"),
        ("auto", 0, 0, "cpu"),
        ("auto", 2, 1, "cuda"),
        ("auto", 0, 1, "mps"),
        ("cuda", 1, 0, "cuda"),
        ("cuda:0", 1, 0, "cuda:0"),
        ("cuda:1", 2, 0, "cuda:1"),
        ("cuda:11", 12, 0, "cuda:11"),
        ("mps", 0, 1, "mps"),
    ],
)
def test_the_device_that_is_there(gpus, name, cuda, mps, expected):
    gpus(cuda, mps)
    assert device.resolve(name) == expected
    assert str(torch.device(device.resolve(name))) == expected


@pytest.mark.parametrize(
    ("name", "cuda", "words"),
    [
        ("cuda", 0, r"device cuda is not available in this torch \(.*\); choose device=cpu"),
        ("cuda:1", 0, r"device cuda:1 is not available in this torch \(.*\); "),
        ("cuda:1", 1, r"cuda:1 is not available .*: there is one cuda device; choose"),
        ("cuda:7", 4, "cuda:7 is not available .*: there are cuda:0 to cuda:3; choose"),
        ("mps", 1, "device mps is not available"),
    ],
)
def test_a_device_that_is_not_there(gpus, name, cuda, words):
    gpus(cuda)
    with pytest.raises(ConfigurationError, match=words):
        device.resolve(name)


@pytest.mark.parametrize(
    "name", ["", "graphics", "cuda:", "cuda:01", "cuda:-1", "cuda:1 ", "cuda:\u0661", "cpu:0", "mps:0", "auto:1"]
)
def test_a_device_that_cannot_be(gpus, name):
    gpus(16, 1)
    with pytest.raises(ConfigurationError, match="is unknown; choose cpu, cuda, cuda:1, mps or auto"):
        device.resolve(name)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "cuda:15", "mps", "auto"])
def test_each_is_a_choice_of_the_command_line(name):
    assert compose(f"device={name}").device.name == name


def no_memory_on_the_cpu():
    torch.empty(1 << 60, dtype=torch.uint8)


def no_memory_for_python():
    bytearray(1 << 60)


def no_memory_of(error):
    def raises():
        raise error

    return raises


CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 10 GiB"
CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
MPS = "MPS backend out of memory (MPS allocated: 5 GB, other allocations: 2 GB, max allowed: 9 GB)."


@pytest.mark.parametrize(
    "act",
    [
        no_memory_on_the_cpu,
        no_memory_for_python,
        no_memory_of(torch.OutOfMemoryError(CUDA)),
        no_memory_of(RuntimeError(CUBLAS)),
        no_memory_of(RuntimeError(MPS)),
    ],
    ids=["cpu", "python", "cuda", "cublas", "mps"],
)
@pytest.mark.parametrize(
    ("name", "smaller", "remedy"),
    [
        ("cpu", None, "; free some memory"),
        ("cuda:1", None, "; set device=cpu, or free some memory"),
        ("cpu", "data.batch_size=4", "; set data.batch_size=4, or free some memory"),
        ("cuda:1", "data.batch_size=4", "; set data.batch_size=4 or device=cpu, or free some memory"),
    ],
)
def test_too_little_memory_is_one_line_with_what_to_do(act, name, smaller, remedy):
    with pytest.raises(ConfigurationError) as caught, device.enough_memory(name, smaller):
        act()
    assert str(caught.value).startswith(f"{name} ran out of memory (")
    assert str(caught.value).endswith(remedy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory")]
)
def test_another_error_stays_what_it_is(error):
    with pytest.raises(type(error)) as caught, device.enough_memory("cpu"):
        raise error
    assert caught.value is error
