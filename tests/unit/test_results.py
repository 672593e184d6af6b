import json
import math
from datetime import UTC, datetime, timedelta

from ast2hf.results import SCHEMA_VERSION, Block, CheckResult, Report


def test_a_new_report_has_passed_nothing():
    assert Report("m").status == "failed"
    assert CheckResult("pooled", "pooled output").status == "not_checked"


def test_stable_keys():
    value = Report("m", checks={"pooled": CheckResult("pooled", "pooled output")}).as_dict()
    assert {
        "schema_version", "date", "status", "model", "family", "source", "geometry", "checks", "first_divergence",
        "device", "dtype", "timings_s", "environment", "notes",
    } <= set(value)  # fmt: skip
    assert value["schema_version"] == SCHEMA_VERSION
    assert {"uri", "sha256", "bytes", "keys", "prefix"} <= set(value["source"])
    assert set(value["checks"]["pooled"]) == {"title", "status", "reason", "measured", "tolerance"}


def test_json_of_what_is_not_finite():
    report = Report("m", blocks=[Block("b", math.inf, math.nan)])
    report.checks["pooled"] = CheckResult("pooled", "pooled output", "failed", None, {"max_abs_diff": math.nan})
    value = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert value["checks"]["pooled"]["measured"]["max_abs_diff"] is None
    assert value["blocks"] == [{"name": "b", "max_abs_diff": None, "relative_diff": None}]


def test_the_date_is_that_of_the_conversion_in_utc():
    date = datetime.fromisoformat(Report("m").date)
    assert date.tzinfo == UTC
    assert abs(datetime.now(UTC) - date) < timedelta(minutes=1)
