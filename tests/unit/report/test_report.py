import json
import math

from ast2hf.report import plots
from ast2hf.report.report import Block, Report
from ast2hf.report.rows import rows


def test_a_new_report_has_passed_nothing():
    report = Report("m")
    assert report.status == "failed"
    assert {check.status for check in report.checks.values()} == {"not_checked"}
    assert {row.status for row in rows(report)} == {"not checked"}


def test_stable_keys():
    value = Report("m").as_dict()
    assert {
        "status", "model", "source", "geometry", "coverage", "weights", "pooled", "logits", "expected_logits",
        "first_divergence", "device", "dtype", "timings_s", "environment",
    } <= set(value)  # fmt: skip
    assert {"uri", "sha256", "bytes"} <= set(value["source"])
    assert {"source", "consumed", "dropped", "targets"} <= set(value["coverage"])
    assert {"count", "max_abs_diff", "mean_abs_diff", "cosine", "top5_agreement", "atol", "rtol"} <= set(
        value["logits"]
    )
    assert {"status", "reason", "max_abs_diff", "atol"} <= set(value["expected_logits"])


def test_json_of_what_is_not_finite():
    report = Report("m", blocks=[Block("b", math.inf, math.nan)])
    report.pooled.max_abs_diff = math.nan
    value = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert value["pooled"]["max_abs_diff"] is None
    assert value["blocks"] == [{"name": "b", "max_abs_diff": None, "relative_diff": None}]


def test_rows_show_measured_value_and_tolerance():
    report = Report("m")
    report.logits.max_abs_diff, report.logits.atol, report.logits.rtol = 1.29e-5, 2e-5, 1e-5
    report.logits.decide(True)
    row = next(row for row in rows(report) if row.check == "all logits")
    assert row[1:] == ("max |diff| 1.29e-05", "2e-05 + 1e-05 |logit|", "passed")


def test_a_check_that_gave_nan_says_so():
    report = Report("m")
    report.pooled.max_abs_diff, report.pooled.atol = math.nan, 5e-6
    report.pooled.decide(False)
    row = next(row for row in rows(report) if row.check == "pooled output")
    assert (row.measured, row.status) == ("max |diff| nan", "failed")


def test_the_plot_is_a_picture_even_of_zero_and_infinite_differences(tmp_path):
    report = Report("m", blocks=[Block("embeddings", 0.0, 0.0), Block("blocks.0", 1.0, math.inf)])
    path = plots.differences(report, tmp_path / "d.png")
    assert path.read_bytes().startswith(b"\x89PNG")
