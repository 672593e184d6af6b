import math

import pytest
import samples

from ast2hf.render.rows import Row, bounds, measures, rows
from ast2hf.results import CheckResult, Report


def row(**check):
    name = check.setdefault("name", "logits")
    (found,) = rows(Report("m", checks={name: CheckResult(**{"title": "all logits", "reason": None, **check})}))
    return found


def test_a_check_with_a_tolerance_shows_the_difference_that_it_bounds():
    found = row(
        status="passed",
        measured={"mean_abs_diff": 3e-6, "max_abs_diff": 1.29e-5, "cosine": 1.0},
        tolerance={"atol": 2e-5, "rtol": 1e-5},
    )
    assert found == Row("all logits", "max difference 1.29e-05", "2e-05 + 1e-05 of the value", "passed")


@pytest.mark.parametrize(
    ("tolerance", "text"),
    [({"atol": 2e-5}, "2e-05"), ({"atol": 1.5e-5}, "1.5e-05"), ({"atol": 2e-5, "rtol": 0.0}, "2e-05"), ({}, "exact")],
)
def test_a_tolerance_is_shown_as_it_was_set(tolerance, text):
    assert row(status="failed", measured={"max_abs_diff": 1.0}, tolerance=tolerance).tolerance == text


def test_counts_and_other_measures_of_a_check_without_a_tolerance():
    found = row(name="coverage", status="passed", measured={"mapped": 151, "dropped": 4, "bit_exact": 160})
    assert found[1:] == ("151 mapped, 4 dropped, 160 bit exact", "exact", "passed")
    assert measures({"code": "torchaudio", "cosine": 0.999999999, "max_abs_diff": 0.5}) == (
        "max difference 5.00e-01, code torchaudio, cosine 0.999999999"
    )
    assert measures({"max_abs_diff_as_written": 1e-4}) == "max difference as written 1.00e-04"
    assert measures({"tolerance_used": 0.374599158}) == "tolerance used 37.5 %"


def test_a_check_of_a_data_set_shows_what_its_bounds_are_on():
    check = samples.over_a_data_set(samples.evaluation()).checks["data_set"]
    (found,) = rows(Report("m", checks={"data_set": check}))
    assert found == Row(
        "data set", "agreement 0.9975, mAP difference -1.43e-04", "agreement at least 0.99, difference at most 0.001",
        "passed",
    )  # fmt: skip
    assert dict(bounds(check)) == {
        "tolerance, least agreement": "0.99", "tolerance, difference of the headline": "0.001"
    }  # fmt: skip


def test_a_bound_that_nobody_here_has_heard_of_is_shown_by_its_name():
    found = row(status="passed", measured={"decibel": -23.5, "max_abs_diff": 1.0}, tolerance={"least_decibel": -30.0})
    assert found[1:3] == ("max difference 1.00e+00, decibel -23.5", "least decibel -30")


def test_bounds_by_name():
    check = CheckResult("a", "a", tolerance={"atol": 1e-5, "rtol": 1e-6, "least_decibel": 3.0})
    assert list(bounds(check)) == [
        ("tolerance, absolute", "1e-05"), ("tolerance, relative", "1e-06"), ("tolerance, least decibel", "3")
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["not_checked", "not_applicable"])
def test_a_check_that_was_not_made_says_why(status):
    found = row(status=status, reason="there is no head", tolerance={"atol": 1.0}, measured={"max_abs_diff": 0.0})
    assert found[1:] == ("there is no head", "", status.replace("_", " "))


def test_a_check_that_failed_before_it_measured_says_why():
    assert row(status="failed", reason="v.cls_token is missing").measured == "v.cls_token is missing"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_says_so(value):
    found = row(status="failed", measured={"max_abs_diff": value}, tolerance={"atol": 5e-6})
    assert found[1:] == (f"max difference {value}", "5e-06", "failed")


def test_no_row_has_the_sign_that_divides_cells():
    """GitHub and the Hub read it as the border of a cell, also inside code."""
    assert "|" not in "".join(row(status="passed", measured={"max_abs_diff": 1.0}, tolerance={"atol": 1.0, "rtol": 1}))


def test_a_check_that_nobody_here_has_heard_of_has_its_row():
    found = row(name="loudness", title="loudness of the clip", status="passed", measured={"decibel": -23.5})
    assert found == Row("loudness of the clip", "decibel -23.5", "exact", "passed")
