import sys
from dataclasses import replace

import pytest
import samples
from samples import HOSTILE

from ast2hf.render import terminal
from ast2hf.results import CheckResult, Report

report = pytest.fixture(samples.report)
headless = pytest.fixture(samples.headless)


def cells(text):
    """The rows of the tables, as their texts."""
    lines = [line.replace("│", "┃") for line in text.splitlines() if line[:1] in ("│", "┃")]
    return [[cell.strip() for cell in line.strip("┃").split("┃")] for line in lines]


def first_line(text):
    return text.splitlines()[0].rstrip()


def test_the_checks_the_labels_and_the_lines(report, capsys):
    terminal.show(report, [("folder", "out/m"), ("hub", "me/m")])
    text = capsys.readouterr().out
    assert first_line(text) == "m: passed"
    found = cells(text)
    assert ["all logits", "max difference 1.29e-05", "2e-05 + 1e-05 of the value", "passed"] in found
    assert ["published logits", "not the official clip", "", "not checked"] in found
    assert ["Speech", "0.9123", "0.9123"] in found
    assert text.endswith("folder     out/m\nhub        me/m\n")


def test_of_a_dry_run_the_title_says_so(report, capsys):
    terminal.show(report, [], "planned, nothing written")
    assert first_line(capsys.readouterr().out) == "m: planned, nothing written"


def test_a_failure_shows_how_far_the_proof_got(report, capsys):
    report.status = "failed"
    report.notes = ["the folder's layer_norm_eps is not the original's"]
    samples.fail(report, "logits", max_abs_diff=float("nan"))
    terminal.show_failure(report, [("report", "r.json")])
    text = capsys.readouterr().out
    assert first_line(text) == "m: failed"
    assert ["all logits", "max difference nan", "2e-05 + 1e-05 of the value", "failed"] in cells(text)
    assert "Speech" not in text
    assert text.endswith("note       the folder's layer_norm_eps is not the original's\nreport     r.json\n")


def test_a_check_that_does_not_apply(headless, capsys):
    terminal.show(headless, [])
    assert ["all logits", "the folder has no head", "", "not applicable"] in cells(capsys.readouterr().out)


def test_every_status_has_a_style(report, capsys):
    for status in ("passed", "failed", "not_checked", "not_applicable"):
        report.checks["pooled"] = replace(report.checks["pooled"], status=status)
        terminal.show(report, [])
        assert status.replace("_", " ") in capsys.readouterr().out


def test_what_the_report_says_of_itself(report):
    assert dict(terminal.about(report)) == {
        "source": "a.pth (1,234,567 bytes)", "sha256": "ab12", "device": "cpu, float32", "note": "a note",
        "seconds": "read 0.50",
    }  # fmt: skip
    assert dict(terminal.about(Report("m")))["source"] == "None"


def test_what_comes_from_outside_moves_no_cursor_and_is_no_markup(report, capsys):
    report.model = report.clip = "[bold]x[/bold]" + HOSTILE
    report.checks["x"] = CheckResult("x", "[red]" + HOSTILE, "not_checked", "[/nothing]" + HOSTILE)
    terminal.show(report, [("note", "[red]" + HOSTILE)])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\\x1b[31m" in text
    assert "note       [red]" in text
    assert "[bold]x[/bold]" in text


def test_a_closed_output_is_an_error_of_the_system(report, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OSError, match="it is closed"):
        terminal.show(report, [])


def test_it_is_110_columns_wide_where_it_is_not_a_terminal(report, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    report.notes = ["x" * 300]
    report.checks["x"] = CheckResult("x", "x", "not_checked", "y" * 300)
    terminal.show(report, terminal.about(report))
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if "│" in line) == 110
    assert any(len(line) > 300 for line in lines), "what may be copied is not wrapped"


def test_the_figures_over_a_data_set(capsys):
    terminal.show(samples.over_a_data_set(samples.evaluation()), [("folder", "out/m")])
    text = capsys.readouterr().out
    assert "On 400 clips of ESC-50, fold 1" in text
    found = cells(text)
    assert ["figure", "original", "converted", "difference"] in found
    assert ["mAP", "0.459033", "0.458890", "-1.43e-04"] in found
    assert ["accuracy, top 5", "0.997500", "0.995000", "-2.50e-03"] in found
    after = text.partition("accuracy, top 5")[2]
    names = [line.split()[0] for line in after.splitlines()[2:]]
    assert names == ["agreement", "logits", "skipped", "speed", "note", "note", "folder"]


def test_a_proof_that_failed_over_its_data_set_shows_the_figures(capsys):
    made = samples.over_a_data_set(samples.evaluation())
    made.status = "failed"
    samples.fail(made, "data_set", agreement=0.5)
    terminal.show_failure(made, [])
    text = capsys.readouterr().out
    assert "0.458890" in text
    assert "agreement 0.5" in text


def test_what_comes_with_a_data_set_moves_no_cursor_and_is_no_markup(capsys):
    made = samples.over_a_data_set(samples.renamed(samples.evaluation(), "[red]" + HOSTILE))
    terminal.show(made, [])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "clips of [red]" in text
