import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ast2hf.errors import VerificationError
from ast2hf.evaluation import differences as module
from ast2hf.evaluation.differences import EDGES, WORST, differences

finite = st.floats(-(2.0**99), 2.0**99, width=32)
logits = arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 5)), elements=finite)


def names(array):
    return [f"clip {number}" for number in range(len(array))]


def between(original, converted):
    return differences(original, converted, names(original))


@given(logits)
def test_they_are_those_of_a_plain_computation_to_the_last_one(values):
    found = between(np.zeros_like(values), values)
    expected = np.sort(np.abs(values), axis=None)
    assert found.largest == expected[-1]
    assert found.p99 == expected[-(-99 * values.size // 100) - 1]
    assert found.mean == pytest.approx(expected.mean(dtype=np.float64))
    assert sum(found.histogram) == values.size
    assert np.array_equal(found.of_clips, np.abs(values).max(axis=1))


def test_blocks_change_nothing_but_the_last_digits_of_the_mean(monkeypatch):
    values = np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32)
    whole = between(np.zeros_like(values), values)
    monkeypatch.setattr(module, "CLIPS", 64)
    parts = between(np.zeros_like(values), values)
    assert whole.p99 == np.quantile(np.abs(values), 0.99, method="inverted_cdf")
    assert (parts.p99, parts.histogram, parts.worst) == (whole.p99, whole.histogram, whole.worst)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-12)


def test_each_bin_has_the_differences_between_its_edges():
    values = np.float32([[10 ** EDGES[3] * 1.01, 10 ** EDGES[20] * 0.99, 10 ** EDGES[20] * 1.01]])
    histogram = between(np.zeros_like(values), values).histogram
    assert np.flatnonzero(histogram).tolist() == [3, 19, 20]


def test_zero_is_in_the_first_bin_and_what_is_huge_in_the_last_one():
    values = np.float32([[0, 0, 1e20]])
    histogram = between(np.zeros_like(values), values).histogram
    assert (histogram[0], histogram[-1], sum(histogram)) == (2, 1, 3)


def test_the_worst_clips_are_the_first_ten_of_those_that_differ_most():
    values = np.zeros((30, 2), np.float32)
    values[[4, 20], 1] = 3, -5
    found = between(np.zeros_like(values), values).worst
    assert found == [20, 4, 0, 1, 2, 3, 5, 6, 7, 8]
    assert len(found) == WORST
    assert between(values[:3], values[:3]).worst == [0, 1, 2]


def test_a_memory_map_is_read_like_an_array(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    kept = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert between(kept, values * 2).p99 == between(values, values * 2).p99


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["original", "converted", "both"])
def test_a_logit_that_is_not_finite_never_passes(which, value):
    arrays = {name: np.zeros((3, 2), np.float32) for name in ("original", "converted")}
    for name, array in arrays.items():
        if which in (name, "both"):
            array[1, 1] = value
    named = "converted" if which == "converted" else "original"
    with pytest.raises(VerificationError, match=rf"the {named} model gives logits that are not finite for .*clip 1"):
        between(**arrays)


def test_nor_does_a_difference_that_is_not_finite():
    with pytest.raises(VerificationError):
        between(np.full((1, 1), -3e38, np.float32), np.full((1, 1), 3e38, np.float32))
