from dataclasses import replace

import pytest
import samples

from ast2hf.render import data_set
from ast2hf.render.data_set import FigureRow
from ast2hf.results import ACCURACY, ACCURACY_TOP5, AUC, D_PRIME, MAP, ClassFigures, Metric

evaluation = pytest.fixture(samples.evaluation)


def with_metrics(evaluation, **metrics):
    return replace(evaluation, metrics={**evaluation.metrics, **metrics})


def test_the_figures_side_by_side_with_the_difference_and_its_sign(evaluation):
    exact = with_metrics(evaluation, **{MAP: Metric(0.25, 0.125), AUC: Metric(0.5, 0.75)})
    assert list(data_set.rows(exact)) == [
        FigureRow("mAP", "0.250000", "0.125000", "-1.25e-01"),
        FigureRow("AUC", "0.500000", "0.750000", "+2.50e-01"),
        FigureRow("d'", "2.863664", "2.863775", "+1.11e-04"),
        FigureRow("accuracy", "0.957500", "0.957500", "0"),
        FigureRow("accuracy, top 5", "0.997500", "0.995000", "-2.50e-03"),
    ]


def test_the_headline_is_the_first_row():
    rows = list(data_set.rows(samples.evaluation(ACCURACY)))
    assert [row.figure for row in rows] == ["accuracy", "mAP", "AUC", "d'", "accuracy, top 5"]


def test_what_is_undefined_says_so_and_what_neither_has_has_no_row(evaluation):
    bent = with_metrics(evaluation, **{D_PRIME: Metric(2.5, None), ACCURACY_TOP5: Metric(None, None)})
    rows = {row.figure: row for row in data_set.rows(bent)}
    assert rows["d'"][1:] == ("2.500000", "undefined", "")
    assert "accuracy, top 5" not in rows


def test_no_mean_average_precision_without_a_word_on_small_sets(evaluation):
    for headline in (MAP, ACCURACY):
        assert data_set.BIASED in data_set.remarks(samples.evaluation(headline))
    assert data_set.BIASED not in data_set.remarks(with_metrics(evaluation, **{MAP: Metric(None, None)}))


def test_classes_that_are_left_out_are_counted_and_named(evaluation):
    assert "1 class is left out of mAP, AUC and d', since no clip or every clip has the label: no clip has this." in (
        data_set.remarks(evaluation)
    )
    many = replace(evaluation, classes=tuple(ClassFigures(f"c{number}", 0, None, None) for number in range(9)))
    (left,) = (remark for remark in data_set.remarks(many) if "left out" in remark)
    assert left.startswith("9 classes are left out")
    assert left.endswith("has the label: c0, c1, c2, c3, c4, c5 and 3 more.")
    none = replace(evaluation, classes=evaluation.classes[:3])
    assert not [remark for remark in data_set.remarks(none) if "left out" in remark]


@pytest.mark.parametrize("areas", [(1.0, 0.9999), (0.9999, 1.0), (1.0, 1.0)])
def test_why_a_perfect_model_has_no_d_prime(evaluation, areas):
    assert "d' is infinite if AUC is 1." in data_set.remarks(with_metrics(evaluation, **{AUC: Metric(*areas)}))
    assert not [remark for remark in data_set.remarks(evaluation) if "infinite" in remark]


def test_what_is_said_of_both_models(evaluation):
    assert dict(data_set.summary(evaluation)) == {
        "agreement": "99.75 % of the clips have the same best label",
        "logits": "differ by at most 1.00e-03, on average by 2.00e-05; 99 % of them by at most 1.11e-04",
    }


def test_one_clip_that_differs_of_many_is_not_rounded_away(evaluation):
    nearly = replace(evaluation, agreement=20370 / 20371)
    assert "99.9951 %" in dict(data_set.summary(nearly))["agreement"]


def test_skipped_clips_are_counted_and_some_are_named(evaluation):
    assert data_set.skipped(evaluation) == (
        "2 clips: clips/a.wav (it is cut short), clips/b.wav (it is not a sound file)"
    )  # fmt: skip
    assert data_set.skipped(replace(evaluation, skipped={})) == ""
    assert data_set.skipped(replace(evaluation, skipped={"a": "b"})) == "1 clip: a (b)"
    many = replace(evaluation, skipped={f"c{number}": "why" for number in range(5)})
    assert data_set.skipped(many) == "5 clips: c0 (why), c1 (why), c2 (why) and 2 more"


def test_the_speed_is_that_of_this_run(evaluation):
    assert data_set.speed(evaluation) == "12.3 clips per second through both models; float32, 8 clips per forward pass"
    done = replace(evaluation, clips_per_second=None, batch_size=1)
    assert data_set.speed(done) == "everything was cached; float32, 1 clip per forward pass"


def test_how_many_clips_of_what(evaluation):
    assert data_set.clips(evaluation) == "400 clips of ESC-50, fold 1"
    assert data_set.clips(replace(evaluation, clips=20371)) == "20,371 clips of ESC-50, fold 1"
