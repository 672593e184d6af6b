"""The page of a conversion: what stands in it, and that nothing from outside can act in it."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import samples
from matplotlib.colors import to_hex
from samples import HOSTILE, Tags

from ast2hf.errors import is_printable
from ast2hf.render import page, plots, svg
from ast2hf.results import BLOCK_RTOL, Block, CheckResult, Figures, Report

SETTINGS = {"model.time_stride": "10", "checkpoint": "https://host/a.pth"}

report = pytest.fixture(samples.report)
headless = pytest.fixture(samples.headless)
figures = pytest.fixture(samples.figures)
evaluation = pytest.fixture(samples.evaluation)


@pytest.fixture
def whole(report, figures, evaluation):
    """Report and figures of a conversion that was proved over a data set as well."""
    return samples.over_a_data_set(evaluation), replace(figures, worst=samples.worst_features())


def test_everything_that_the_proof_found_stands_in_it(report, figures):
    found = Tags(page.render(report, figures, SETTINGS))
    for text in (
        "passed", "all logits", "max difference 1.29e-05", "2e-05 + 1e-05 of the value", "Speech",
        "0.9123", "a.pth", "ab12",
        "1,234,567 bytes", "2024-05-06 07:08:09 UTC", "mean difference", "3.00e-06",
        "not the official clip", "clip.wav", "a note", "model.time_stride", "blocks.0", "within the tolerance: 7",
    ):  # fmt: skip
        assert text in found.text, text
    assert found.pictures() == ["difference after each block", "differences of the logits", "spectrogram of the clip"]


def test_it_refers_to_nothing_outside_and_runs_nothing(whole):
    text = page.render(*whole, SETTINGS)
    found = Tags(text)
    assert not {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object", "embed", "img", "base", "a"}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "@import" not in text


def test_ids_are_unique_so_that_pictures_do_not_mix(whole):
    ids = [attributes["id"] for _, attributes in Tags(page.render(*whole, SETTINGS)).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_pictures_take_the_colour_of_the_page(report):
    picture = svg.inline(lambda: plots.blocks(report), "p")
    assert "currentColor" in picture
    assert "#000000" not in picture


def test_what_cannot_be_seen_is_shown_as_what_it_is(report):
    sign = "\u202e\u200b\x1b\u2066"
    report.model = report.error = report.first_divergence = report.clip = report.labels = f"a{sign}"
    report.status, report.notes, report.source["uri"] = "failed", [sign], sign
    report.checks = {"x": CheckResult("x", sign, "failed", sign, {sign: 1.0}, {"atol": 1.0})}
    report.top5 = [replace(report.top5[0], label=sign)]
    report.blocks = []
    for values in (report.environment, report.dropped_tensors, report.files, report.geometry, report.front_end):
        values[sign] = sign
    text = page.render(report, None, {f"a{sign}": sign})
    found = {character for character in text if not is_printable(character)} - {"\n"}
    assert not found
    assert text.count(r"\u202e\u200b\x1b\u2066") > 20


DRAWN = {"defs", "style", "g", "path", "use", "text", "tspan", "clippath", "rect", "image"}


def of_the_page(found):
    """Numbers of tags outside the pictures, which have more or fewer ticks as there is room."""
    return Counter(tag for tag, _ in found.tags if tag not in DRAWN)


def test_what_comes_from_outside_cannot_act(report, figures):
    plain = of_the_page(Tags(page.render(report, figures, SETTINGS)))
    report.model = report.clip = report.labels = report.notes[0] = HOSTILE
    report.source["uri"] = report.first_divergence = HOSTILE
    report.family = report.head = HOSTILE
    report.blocks[1] = Block(HOSTILE, 1e-6, 2e-7)
    report.top5[0] = replace(report.top5[0], label=HOSTILE)
    pooled = CheckResult("pooled", HOSTILE, "passed", None, {HOSTILE: HOSTILE}, {"atol": 5e-6})
    report.checks["pooled"] = pooled
    found = Tags(page.render(report, figures, SETTINGS))
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [a for _, a in found.tags if "onload" in a]
    assert of_the_page(found) == plain + Counter(p=1, b=1), "the line of the first divergence, and nothing else"
    assert {tag for tag, _ in found.tags} == set(plain) | DRAWN
    assert "{{ 7*7 }}" in found.text
    report.status, report.error = "failed", HOSTILE
    assert "<script" not in page.render(report, figures, SETTINGS)


def test_of_a_run_that_failed_before_its_proof(tmp_path):
    report = Report("m", error="the download failed; try again")
    text = page.write(tmp_path / page.PAGE, report, None, SETTINGS).read_text()
    found = Tags(text)
    assert "the download failed; try again" in found.text
    assert "not reached" in found.text
    assert found.pictures() == []
    assert "passed" not in found.text


def test_of_a_failed_proof(report, figures):
    report.status, report.error, report.first_divergence = "failed", "the logits differ", "blocks.0"
    samples.fail(report, "logits", max_abs_diff=1.0)
    found = Tags(page.render(report, figures, SETTINGS))
    assert "the logits differ" in found.text
    assert "First divergence: blocks.0" in found.text


def test_the_dashed_lines_are_not_taken_for_the_bound_of_every_logit(report, figures):
    """A difference beyond them may be within its tolerance, which grows with the logit."""
    assert "the tolerance of a logit of 0" in page.render(report, figures, SETTINGS)
    report.checks["logits"] = replace(report.checks["logits"], tolerance={"atol": 2e-5})
    assert "the tolerance of a logit of 0" not in page.render(report, figures, SETTINGS)


def test_logits_that_were_not_checked_are_shown_against_no_tolerance(report, figures):
    report.checks["logits"] = CheckResult("logits", "all logits")
    found = Tags(page.render(report, figures, SETTINGS))
    assert "Of all logits, which were not checked." in found.text
    assert "differences of the logits" in found.pictures()
    for text in ("within the tolerance:", "over it:", "dashed"):
        assert text not in found.text


def test_of_a_proof_that_came_to_the_features(figures):
    found = Tags(page.render(Report("m", error="e"), Figures(figures.features), SETTINGS))
    assert found.pictures() == ["spectrogram of the clip"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_of_what_is_not_finite(report, figures, value):
    report.status, report.blocks = "failed", [Block("embeddings", value, value), Block("blocks.0", 1.0, math.inf)]
    samples.fail(report, "logits", max_abs_diff=value, mean_abs_diff=value, cosine=value)
    report.top5[0] = replace(report.top5[0], converted=value)
    converted = figures.converted.copy()
    converted[3] = value
    found = Tags(page.render(report, Figures(figures.features, figures.original, converted), SETTINGS))
    assert "1 are not finite" in found.text
    converted[:] = value
    found = Tags(page.render(report, Figures(figures.features, figures.original, converted), SETTINGS))
    assert "differences of the logits" not in found.pictures()


def test_of_equal_logits(report, figures):
    found = Tags(page.render(report, Figures(figures.features, figures.original, figures.original), SETTINGS))
    assert "within the tolerance: 7" in found.text


def test_of_an_encoder_without_a_head(headless, figures):
    found = Tags(page.render(headless, Figures(figures.features), SETTINGS))
    assert "the folder has no head" in found.text
    assert "Best labels" not in found.text
    assert found.pictures() == ["difference after each block", "spectrogram of the clip"]


def test_a_check_that_nobody_here_has_heard_of_is_shown_with_all_it_measured(report):
    report.checks["loudness"] = CheckResult(
        "loudness", "loudness of the clip", "passed", None, {"decibel": -23.5, "max_abs_diff": 0.25}, {"atol": 0.5}
    )
    text = Tags(page.render(report, None, SETTINGS)).text
    assert "max difference 2.50e-01" in text
    assert "decibel" in text
    assert "-23.5" in text


def test_zero_and_infinite_differences_are_drawn_at_the_ends():
    made = Report("m", blocks=[Block("embeddings", 0.0, 0.0), Block("blocks.0", 1.0, math.inf)])
    (axes,) = plots.blocks(made).axes
    low, high = (bar.get_height() for bar in axes.patches)
    assert 0 < low < high < math.inf


def test_a_block_is_red_from_where_it_is_said_to_diverge():
    made = Report("m", blocks=[Block("a", 0.0, BLOCK_RTOL), Block("b", 0.0, BLOCK_RTOL * 1.01)])
    (axes,) = plots.blocks(made).axes
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [plots.GOOD, plots.BAD]


OVER_A_DATA_SET = ["average precision of each class", "differences of all logits"]


def test_of_a_proof_over_a_data_set(whole):
    found = Tags(page.render(*whole, SETTINGS))
    for text in (
        "On 400 clips of ESC-50, fold 1", "mAP", "0.459033", "0.458890", "-1.43e-04",
        "99.75 % of the clips have the same best label", "12.3 clips per second", "cdcd", "mAP over few clips",
        "1 class is left out", "clips/5-0.wav", "Speech, Dog, Music | live <b>", "Speech (original), Rain (converted)",
        "Vacuum cleaner (both models)", "clips/b.wav", "it is not a sound file",
        "least agreement", "tolerance, difference of the headline", "mAP converted",
    ):  # fmt: skip
        assert text in found.text, text
    pictures = found.pictures()
    assert pictures[2:4] == OVER_A_DATA_SET
    assert pictures[4:] == ["spectrogram 1", "spectrogram 2", "spectrogram of the clip"]


def test_of_a_model_whose_headline_is_accuracy(whole):
    made = samples.over_a_data_set(samples.evaluation("accuracy"))
    found = Tags(page.render(made, whole[1], SETTINGS)).text
    assert found.index("accuracy, top 5") > found.index("mAP") > found.index("figure")


def test_of_a_data_set_without_features_of_its_worst_clips(whole, figures):
    report, _ = whole
    assert Tags(page.render(report, None, SETTINGS)).pictures()[1:] == OVER_A_DATA_SET
    changed = replace(figures, worst=(np.empty((0, 0), np.float32), *samples.worst_features()[1:]))
    found = Tags(page.render(report, changed, SETTINGS))
    assert "spectrogram 1" not in found.pictures()
    assert "spectrogram 2" in found.pictures()
    assert "clips/5-0.wav" in found.text


def test_of_a_data_set_whose_clips_could_all_be_heard(whole):
    report, figures = whole
    report.evaluation = replace(report.evaluation, skipped={})
    assert "skipped" not in Tags(page.render(report, figures, SETTINGS)).text.partition("Clips whose logits")[0][-2000:]


def test_of_a_data_set_where_no_class_has_a_precision(whole):
    report, figures = whole
    report.evaluation = replace(report.evaluation, classes=report.evaluation.classes[7:8])
    assert OVER_A_DATA_SET[0] not in Tags(page.render(report, figures, SETTINGS)).pictures()


def test_a_report_without_a_data_set_has_no_section(report, figures):
    text = page.render(report, figures, SETTINGS)
    assert "average precision" not in text
    assert "Clips whose" not in text


def test_what_comes_with_a_data_set_cannot_act(whole):
    report, figures = whole
    tame = of_the_page(Tags(page.render(replace_names(report, "tame"), figures, SETTINGS)))
    text = page.render(replace_names(report, HOSTILE), figures, SETTINGS)
    found = Tags(text)
    assert of_the_page(found) == tame
    assert not [a for _, a in found.tags if "onload" in a]
    assert "<script" not in text
    assert "{{ 7*7 }}" in found.text
    sign = "\u202e\u200b\x1b\u2066"
    text = page.render(replace_names(report, sign), figures, SETTINGS)
    assert not {character for character in text if not is_printable(character)} - {"\n"}


def replace_names(report, name):
    return replace(report, evaluation=samples.renamed(report.evaluation, name))
