from dataclasses import replace

import pytest
from support import reports

from ast2hf.results import CheckResult, ClassFigures, Report
from ast2hf.tracking import classes, metrics, record


@pytest.mark.parametrize(
    ("name", "uri", "shown"),
    [
        ("ast-finetuned-audioset-10-10-0.4593", "a.pth", "10-10-0.4593"),
        ("ast-finetuned-audioset-10-10-0.448_device=cpu", "a.pth", "10-10-0.448_device=cpu"),
        ("ast-finetuned-speech-commands-v2", None, "speech-commands-v2"),
        ("custom", "best model.pth", "best model"),
        ("custom_stats=esc50", "best.pth", "best_stats=esc50"),
        ("custom", "https://host/a/b.pth", "b"),
        ("custom", None, "custom"),
        ("customers", "best.pth", "customers"),
    ],
)
def test_a_run_is_named_so_that_a_narrow_column_tells_it_from_others(name, uri, shown):
    assert record.run_name(name, uri) == shown


def test_a_record_is_read_as_it_was_saved(tmp_path):
    report = Report("m", status="passed", clip="a.wav", clip_sha256="ab" * 32, evaluation=reports.evaluation())
    made = record.build(report, "m", 0.0, params={}, artifacts=[tmp_path / "a"], published=tmp_path)
    assert [known.name for known in made.inputs] == ["a.wav", "esc50"]
    read = record.saved(record.save(made, tmp_path))
    assert (read.model, read.inputs, read.tags) == (made.model, made.inputs, made.tags)


def test_a_screening_is_tagged_with_its_own_dtype():
    screening = replace(reports.evaluation(), dtype="bfloat16")
    made = record.build(Report("m", evaluation=screening), "m", 0.0, params={}, artifacts=[])
    assert (made.tags["dtype"], made.tags["data_set.dtype"]) == ("float32", "bfloat16")


def measured(report):
    return {name: value for name, value, _ in metrics.of_report(report)}


def check(name, status, used=None):
    return CheckResult(name, name, status, None, {} if used is None else {"tolerance_used": used})


def test_runs_can_be_sorted_by_how_near_they_came_to_a_tolerance():
    made = [check("a", "passed", 0.1), check("b", "passed", 0.3), check("c", "not_checked")]
    found = measured(Report("m", checks={known.name: known for known in made}))
    assert found["tolerance_used"] == pytest.approx(0.3)
    assert (found["passed"], found["failed"], found["not_checked"]) == (2, 0, 1)


def test_without_a_tolerance_nothing_is_said_to_be_used():
    assert "tolerance_used" not in measured(Report("m", checks={"a": check("a", "passed")}))
    assert "tolerance_used" not in measured(Report("m", checks={"a": check("a", "failed", float("nan"))}))


def test_figures_over_a_data_set_are_metrics_where_they_are_defined():
    found = measured(Report("m", evaluation=reports.evaluation()))
    assert found["mAP.original"] == 0.4593
    assert found["mAP.difference"] == pytest.approx(-1e-4)
    assert found["d_prime.converted"] == 2.0
    assert not {"d_prime.original", "d_prime.difference"} & set(found)
    assert (found["clips"], found["clips.skipped"], found["clips.per_second"]) == (2000, 1, 12.5)


def test_the_table_of_classes_has_the_largest_difference_first_and_the_undefined_last(tmp_path):
    text = classes.write(tmp_path / "classes.csv", reports.evaluation()).read_text()
    assert text.splitlines() == [
        "class,clips,AP original,AP converted,difference",
        "| <b>,3,0.400000,0.399900,-1.00e-04",
        "Dog,40,0.500000,0.500000,+0.00e+00",
        "Cat,0,,,",
    ]


def test_a_label_that_cannot_be_encoded_is_in_the_table_of_classes(tmp_path):
    figures = ClassFigures("a\ud800", 1, 0.5, 0.5)
    made = classes.write(tmp_path / "classes.csv", replace(reports.evaluation(), classes=(figures,)))
    assert made.read_text().splitlines()[1] == "a\\ud800,1,0.500000,0.500000,+0.00e+00"
