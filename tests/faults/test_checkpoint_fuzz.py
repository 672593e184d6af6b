"""Cases 19 and 79: damaged files give a clean error or verified weights, never anything else."""

import pickle
from collections import Counter
from random import Random

import pytest
import torch
from support import mutations
from support.bending import with_bent_structure
from support.intake_target import examiner, valid

EACH = 400

REASONS = (
    ("zip", ("zip archive", "CRC", "directory", "entries", "entry", "big-endian", "data.pkl")),
    ("pickle", ("pickle", "refers to", "dict key", "is called", "lists storages", "legacy format")),
    (
        "tensors",
        (
            "tensor",
            "storage",
            "has dtype",
            "needs more data",
            "axes",
            "state dict",
            "its tensors require",
        ),
    ),
    ("plan", ("does not fit the model", "original AST code", "no usable tensor", "classifier", "over the limit")),
    ("model", ("looks like",)),
    ("values", ("not finite",)),
    ("second reading", ("two readings", "a second reading")),
    ("format", ("not a PyTorch checkpoint", "is empty", "safetensors")),
)
"""By which part a file is refused; the last match counts."""


def part(refusal: str) -> str:
    cause = refusal.partition("; ")[0].replace("fuzzed.pth", "")
    found = [name for name, words in REASONS if any(word in cause for word in words)]
    assert found, refusal
    return found[-1]


@pytest.fixture(scope="module")
def examine(tmp_path_factory):
    return examiner(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.fault(19, "2,000 seeded mutations of valid zip and legacy files: bytes, records, pickle opcodes")
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_damage_gives_a_clean_error_or_verified_weights(examine, came_out):
    zip_file, legacy_file = valid(zipped=True), valid(zipped=False)
    assert examine(zip_file) is examine(legacy_file) is None
    outcomes: Counter[str] = Counter()
    for kind, (mutate, content) in enumerate(
        (
            (mutations.damaged, zip_file),
            (mutations.damaged, legacy_file),
            (mutations.with_damaged_pickle, zip_file),
            (mutations.with_other_opcodes_in_pickle, zip_file),
            (mutations.with_other_records, zip_file),
        )
    ):
        for seed in range(EACH):
            refusal = examine(mutate(content, Random(EACH * kind + seed)))
            outcomes["verified" if refusal is None else part(refusal)] += 1
    assert outcomes.total() == 5 * EACH
    assert all(outcomes[name] for name in ("verified", "zip", "pickle", "tensors", "plan"))
    came_out(**{"verified or refused": dict(outcomes.most_common())})


@pytest.mark.fault(79, "1,000 seeded mutations of the structure of a sound zip; what is accepted, read with torch.load")
def test_a_bent_archive_gives_a_clean_error_or_what_torch_reads(examine, came_out):
    content = valid(zipped=True)
    outcomes: Counter[str] = Counter()
    for seed in range(1000):
        refusal = examine(with_bent_structure(content, Random(seed)))
        outcomes["verified" if refusal is None else part(refusal)] += 1
    assert outcomes["verified"] > 100
    assert outcomes["zip"] > 500
    came_out(**{"verified or refused": dict(outcomes.most_common())})


def test_the_comparison_notices_a_torch_that_reads_something_else(examine, monkeypatch):
    load = torch.load

    def other(*arguments, **options):
        value = load(*arguments, **options)
        value["module.v.norm.bias"] = value["module.v.norm.bias"] + 1
        return value

    assert examine(valid(zipped=True)) is None
    monkeypatch.setattr(torch, "load", other)
    with pytest.raises(AssertionError, match=r"torch.load reads another module.v.norm.bias"):
        examine(valid(zipped=True))


@pytest.mark.parametrize("broken", [RecursionError, MemoryError, pickle.UnpicklingError])
def test_the_fuzzing_notices_errors_that_are_not_clean(examine, monkeypatch, broken):
    def fail(*_: object) -> None:
        raise broken

    monkeypatch.setattr("support.intake_target.recognise", fail)
    with pytest.raises(broken):
        examine(valid(zipped=True))
