"""The page of a sweep: variants side by side, and the way to the report of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from samples import HOSTILE, Tags

from ast2hf.render import plots, sweep_page


@dataclass(frozen=True)
class Job:
    code: int = 0
    model: str = "m"
    status: str = "passed"
    checks: dict = field(default_factory=dict)
    seconds: float | None = None
    folder: str | None = None
    error: str | None = None
    number: int = 0
    overrides: list[str] = field(default_factory=list)


def logits(found, atol=2e-5):
    return {"pooled": (1.0, 5e-6), "logits": (found, atol)}


def test_the_variants_are_shown_side_by_side():
    jobs = [
        Job(0, "good", "passed", logits(1e-5)),
        Job(0, "exact", "passed", logits(0.0), number=1),
        Job(5, HOSTILE, "failed", logits(math.nan), number=2, overrides=["model=x", f"audio={HOSTILE}"]),
        Job(1, "lost", "lost", number=3, error=HOSTILE),
    ]
    text = sweep_page.render(HOSTILE, jobs, {})
    found = Tags(text)
    assert found.pictures() == ["variants side by side"]
    assert not {tag for tag, _ in found.tags} & {"script", "a"}
    for shown in ("0 good", "1 exact", "2 of 4 jobs passed", "\\x1b", "1.00e-05", "nan"):
        assert shown in found.text
    assert "http" not in text
    assert "\x1b" not in text


def test_a_sweep_that_measured_nothing_has_no_picture():
    assert Tags(sweep_page.render("s", [Job(1, status="lost")], {})).pictures() == []


def test_each_row_leads_to_its_report_and_names_its_model_folder():
    jobs = [Job(folder="/home/alice/outputs/models/mine"), Job(number=1, model="b", code=6, error="no space")]
    text = sweep_page.render("s", jobs, {0: "0_a b#%/report.html"})
    found = Tags(text)
    assert [a["href"] for tag, a in found.tags if tag == "a"] == ["0_a%20b%23%25/report.html"] * 2
    assert "mine" in found.text
    assert "no space" in found.text
    assert "alice" not in text


def test_a_row_has_each_check_that_compared_values_in_any_job():
    jobs = [
        Job(checks={"weights": (None, None), "pooled": (2e-6, 5e-6), "logits": (None, 2e-5)}),
        Job(checks={"end_to_end": (1e-5, 2e-3)}),
    ]
    checks = sweep_page.compared_checks(jobs)
    assert checks == ["pooled", "logits", "end_to_end"]
    first, second = (sweep_page.row(job, checks) for job in jobs)
    assert list(first) == list(second)
    assert (first["pooled"], first["pooled tolerance"]) == ("2.00e-06", "5e-06")
    assert (first["logits"], first["logits tolerance"], first["end_to_end"]) == ("", "2e-05", "")
    assert (second["pooled"], second["end_to_end"]) == ("", "1.00e-05")
    found = Tags(sweep_page.render("s", jobs, {})).text
    assert "end to end" in found
    assert "of 5e-06" in found


def test_the_error_of_a_job_names_no_folder_of_the_machine():
    row = sweep_page.row(Job(error="labels /home/alice/secret/labels.csv cannot be read"), [])
    assert row["error"] == "labels labels.csv cannot be read"


def test_the_labels_of_the_axis_of_a_sweep_are_decades():
    figure = plots.sweep([Job(checks=logits(1.67e-5))])
    (axes,) = figure.axes
    assert axes.get_xlim() == (pytest.approx(1e-6), pytest.approx(1e-4))
    figure.canvas.draw()
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))
    assert axes.get_xlabel() == "largest difference of the logits (dot) and its absolute tolerance (bar)"


def test_another_check_than_the_logits_is_named_in_the_picture():
    figure = plots.sweep([Job(checks={"pooled": (1e-6, 5e-6)}), Job(number=1, checks=logits(1e-5))])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0 m pooled", "1 m"]
    assert axes.get_xlabel() == "largest difference of the check named (dot) and its absolute tolerance (bar)"
