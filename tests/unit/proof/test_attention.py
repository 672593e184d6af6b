"""The check of all implementations of attention; with a real model it is in tests/unit/test_pipeline.py."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from ast2hf.config import Tolerance
from ast2hf.errors import ConfigurationError
from ast2hf.families.base import Activations
from ast2hf.proof.checks import HALF_ATTENTION_ATOL, attention

TOLERANCE = Tolerance(1e-5)


def found(errors, absent=(), half=("quick",), tolerance=TOLERANCE, asked=True):
    """What the check finds where the implementations are off by ``errors``, and are ``absent`` for a reason."""

    class Loaded:
        def __init__(self):
            self.attentions = {**dict.fromkeys(errors), **dict(absent)}
            self.half_attentions = half
            self.error = None

        def __call__(self, features):
            assert self.error is not None, "the default one is not asked for"
            return activations(self.error)

        @contextmanager
        def with_attention(self, name):
            self.error = errors[name]
            yield
            self.error = None

    evidence = SimpleNamespace(
        every_attention=asked, loaded=Loaded(), reference=activations(0.0), features=torch.zeros(1),
        device=torch.device("cpu"),
    )  # fmt: skip
    return attention.function(evidence, tolerance)


def activations(error):
    return Activations((), torch.zeros(1, 3, 2), torch.zeros(1, 2), torch.tensor([[1.0, 2.0, 3.0 + error]]))


def test_the_largest_difference_is_the_one_that_is_bounded():
    finding = found({"eager": 4e-6, "sdpa": 0.0}, {"quick": "not installed"})
    assert finding.status == "passed"
    assert finding.measured["max_abs_diff"] == finding.measured["max_abs_diff_eager"] == pytest.approx(4e-6, rel=0.1)
    assert finding.measured["max_abs_diff_sdpa"] == 0
    assert finding.measured["quick"] == "not installed"
    assert finding.tolerance == {"atol": 1e-5}


@pytest.mark.parametrize("error", [1e-4, float("nan"), float("inf")])
@pytest.mark.parametrize("wrong", ["eager", "sdpa"])
def test_one_that_is_wrong_is_named(wrong, error):
    finding = found({"eager": 0.0, "sdpa": 0.0, wrong: error})
    assert finding.status == "failed"
    assert finding.reason.endswith(f"with {wrong}")


@pytest.mark.parametrize(("part", "status"), [(0.2, "passed"), (2, "failed")])
def test_one_of_half_precision_has_a_tolerance_of_its_own(part, status):
    error = part * HALF_ATTENTION_ATOL
    finding = found({"eager": 1e-6, "quick": error})
    assert finding.status == status
    assert finding.measured["max_abs_diff"] < 1e-5
    assert finding.measured["max_abs_diff_quick"] == pytest.approx(error, rel=1e-3)
    assert ("with quick" in (finding.reason or "")) == (status == "failed")


def test_without_a_tolerance_for_the_device_it_is_asked_for():
    with pytest.raises(ConfigurationError, match=r"set verify\.tolerances\.attention\.cpu\.atol"):
        found({"eager": 0.0}, tolerance=None)


def test_it_is_made_on_request():
    assert found({"eager": 1.0}, asked=False).status == "not_checked"
