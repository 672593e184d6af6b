import math

import pytest
import torch

from ast2hf.errors import VerificationError
from ast2hf.proof import compare

NAN, INF = math.nan, math.inf


def test_difference_measures():
    found = compare.difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]), atol=0.5)
    assert found.max_abs_diff == 0.5
    assert found.mean_abs_diff == 0.25
    assert found.passed


@pytest.mark.parametrize("atol", [0.49, 1e-9])
def test_over_the_tolerance_fails(atol):
    assert not compare.difference(torch.tensor([2.0]), torch.tensor([2.5]), atol).passed


def test_relative_tolerance_is_of_the_reference():
    actual, reference = torch.tensor([101.0, 1.0]), torch.tensor([100.0, 1.0])
    assert compare.difference(actual, reference, atol=0.0, rtol=0.01).passed
    assert not compare.difference(actual, reference, atol=0.0, rtol=0.0099).passed
    assert not compare.difference(reference, actual * 0, atol=0.5, rtol=10).passed


def test_the_share_of_the_tolerance_counts_what_grows_with_the_reference():
    """At 1 it would fail: against ``atol`` alone, this one would be said to have used five times its tolerance."""
    actual, reference = torch.tensor([100.5, 1.0]), torch.tensor([100.0, 1.0])
    found = compare.difference(actual, reference, atol=0.1, rtol=0.01)
    assert found.passed
    assert found.tolerance_used == pytest.approx(0.5 / 1.1)
    assert compare.difference(actual, reference, atol=0.1).tolerance_used == pytest.approx(5)


@pytest.mark.parametrize(("actual", "used"), [(0.0, 0.0), (1e-9, INF)])
def test_where_nothing_is_tolerated_equal_values_use_nothing(actual, used):
    assert compare.difference(torch.tensor([actual]), torch.tensor([0.0]), atol=0.0).tolerance_used == used


@pytest.mark.parametrize(
    ("actual", "reference"), [(NAN, 0.0), (0.0, NAN), (NAN, NAN), (INF, INF), (INF, 0.0), (0.0, INF)]
)
def test_what_is_not_finite_never_passes(actual, reference):
    found = compare.difference(torch.tensor([actual, 1.0]), torch.tensor([reference, 1.0]), atol=1e30, rtol=1.0)
    assert not found.passed


def test_other_shapes_are_an_error():
    with pytest.raises(VerificationError, match="shapes"):
        compare.difference(torch.zeros(2), torch.zeros(1, 2), 1.0)


def test_bits_tell_zero_from_minus_zero_and_know_nan():
    assert compare.bitwise_equal(torch.tensor([NAN]), torch.tensor([NAN]))
    assert not compare.bitwise_equal(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not compare.bitwise_equal(torch.zeros(2), torch.zeros(1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_rounding_is_within_half_a_unit_in_the_last_place(dtype):
    exact = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    rounded = exact.to(dtype)
    assert compare.is_rounding_of(rounded, exact)
    next_one = torch.nextafter(rounded, torch.full_like(rounded, INF))
    assert not compare.is_rounding_of(next_one, exact)
    assert not compare.is_rounding_of(rounded[:-1], exact)
    assert not compare.is_rounding_of(torch.full_like(rounded, NAN), exact)


def test_top_and_agreement():
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0]])
    assert compare.top(logits, 2) == [1, 3]
    assert compare.top(logits) == [1, 3, 2, 0]
    assert compare.agreement([1, 3], [3, 0]) == 0.5
