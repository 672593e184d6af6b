import pytest
from markdown_it import MarkdownIt
from support import reports

from ast2hf.results import CheckResult, Report
from ast2hf.sweep.job import Job
from ast2hf.tracking import description, view


@pytest.fixture
def report():
    return Report(
        "m", status="passed", family="ast", device="cpu", notes=["*a* note"],
        checks={
            "logits": CheckResult("logits", "all | logits", "passed", None, {"max_abs_diff": 1e-6}, {"atol": 2e-5}),
            "published": CheckResult("published", "published logits", "not_checked", "<b>not</b> the clip"),
        },
    )  # fmt: skip


def tables(text):
    """The cells of all tables as a person sees them, and where they lead."""
    found, links = [], []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for number, token in enumerate(tokens):
        if token.type == "tr_open":
            found.append([])
        if token.type in ("th_open", "td_open"):
            children = tokens[number + 1].children
            found[-1].append("".join(child.content for child in children))
            links += [child.attrs["href"] for child in children if child.type == "link_open"]
    return found, links


def test_a_run_begins_with_its_verdict_and_shows_every_check(report):
    text = description.of_run(report)
    assert text.startswith("**passed** · m · family ast · cpu, float32\n")
    assert tables(text)[0] == [
        ["check", "measured", "tolerance", "status"],
        ["all | logits", "max difference 1.00e-06", "2e-05", "passed"],
        ["published logits", "<b>not</b> the clip", "", "not checked"],
    ]
    assert "<b>" not in text
    assert text.endswith("- \\*a\\* note")


def test_what_failed_is_said_before_the_checks(report):
    report.status, report.error = "failed", "logits differ"
    assert description.of_run(report).splitlines()[:3] == [
        "**failed** · m · family ast · cpu, float32", "", "Error: logits differ",
    ]  # fmt: skip


def test_figures_over_a_data_set_stand_side_by_side(report):
    report.evaluation = reports.evaluation()
    text = description.of_run(report)
    assert "\nOn 2,000 clips of esc50, in float32; skipped: 1 clip: cut.wav (it is cut short)\n" in text
    assert ["mAP", "0.459300", "0.459200", "-1.00e-04"] in tables(text)[0]
    assert ["d'", "undefined", "2.000000", ""] in tables(text)[0]
    assert "- agreement: 99.9 %" in text


def jobs(count):
    checks = {"logits": (1e-6, 2e-5)}
    place = "mlflow ui  then  http://127.0.0.1:5000/#/experiments/3/runs/"
    return [
        Job(0, f"m{n}", "passed", checks, 2.0, tracked=f"{place}{n:032x}?{view.PAGES}", number=n) for n in range(count)
    ]


def test_a_sweep_compares_its_jobs_and_leads_to_their_runs():
    failed = Job(5, "m2", "failed", {"logits": (1.0, 2e-5)}, error="logits differ", number=2, overrides=["device=cpu"])
    text = description.of_sweep([*jobs(2), failed])
    rows, links = tables(text)
    assert text.startswith("**2 of 3 jobs passed** · [compare them in the list of runs](#/experiments/3/runs?")
    assert rows == [
        ["job", "model", "overrides", "status", "logits", "seconds", "error"],
        ["0", "m0", "", "passed", "1.00e-06", "2.0", ""],
        ["1", "m1", "", "passed", "1.00e-06", "2.0", ""],
        ["2", "m2", "device=cpu", "failed", "1.00e+00", "", "logits differ"],
    ]
    assert links == [f"#/experiments/3/runs/{n:032x}" for n in range(2)]


def test_a_sweep_without_runs_leads_nowhere():
    assert description.of_sweep([Job(1, "m", "lost", error="not started")]).startswith("**0 of 1 jobs passed**\n")


def test_a_long_table_ends_with_a_whole_row_and_says_where_the_rest_is():
    text = description.of_sweep(jobs(1000))
    assert 7000 < len(text) <= description.LIMIT
    assert text.endswith("\n\nsummary.csv has all jobs")
    assert {len(row) for row in tables(text)[0]} == {5}
