"""The page of a conversion: what stands in it, and that nothing from outside can act in it."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import compose

from ast2hf.report import page, plots, svg
from ast2hf.report.evidence import Evidence
from ast2hf.report.report import Block, Label, Report
from ast2hf.sweep import table
from ast2hf.sweep.job import Job

HOSTILE = "<script>alert(1)</script>\" onload='x' {{ 7*7 }} $\\frac$ \x1b[31m"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of tags and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:  # not in a style
            self.text += data

    def pictures(self) -> list[str | None]:
        return [attributes["aria-label"] for tag, attributes in self.tags if tag == "svg"]


@pytest.fixture(scope="module")
def config():
    return compose("model=ast_16_16", "checkpoint='https://me:pw@host/a.pth?token=x'")


@pytest.fixture
def report():
    report = Report(
        model="m", status="passed", device="cpu", clip="clip.wav", labels="none",
        source={"uri": "a.pth", "sha256": "ab12", "bytes": 1234567},
        blocks=[Block("embeddings", 0.0, 0.0), Block("blocks.0", 1e-6, 2e-7), Block("logits", 1e-6, 2e-7)],
        top5=[Label("Speech", 0.91234, 0.91231)], notes=["a note"], timings_s={"read": 0.5},
    )  # fmt: skip
    logits = report.logits
    logits.max_abs_diff, logits.mean_abs_diff, logits.cosine, logits.count = 1.29e-5, 3e-6, 1.0, 7
    logits.atol, logits.rtol, logits.top5_agreement = 2e-5, 1e-5, 1.0
    logits.decide(True)
    return report


@pytest.fixture
def evidence():
    random = np.random.default_rng(0)
    original = random.normal(size=7).astype(np.float32)
    return Evidence(random.normal(size=(64, 32)).astype(np.float32), original, original + np.float32(1e-6))


def test_everything_that_the_proof_found_stands_in_it(config, report, evidence):
    found = Tags(page.render(config, report, evidence))
    for text in (
        "passed", "all logits", "max |diff| 1.29e-05", "2e-05 + 1e-05 |logit|", "Speech", "0.9123", "a.pth", "ab12",
        "1,234,567 bytes", "clip.wav", "a note", "model.time_stride", "blocks.0", "within the tolerance: 7",
    ):  # fmt: skip
        assert text in found.text, text
    assert found.pictures() == ["difference after each block", "differences of the logits", "spectrogram of the clip"]


def test_it_refers_to_nothing_outside_and_runs_nothing(config, report, evidence):
    text = page.render(config, report, evidence)
    found = Tags(text)
    assert not {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object", "embed", "img", "base", "a"}
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "@import" not in text


def test_ids_are_unique_so_that_pictures_do_not_mix(config, report, evidence):
    ids = [attributes["id"] for _, attributes in Tags(page.render(config, report, evidence)).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_pictures_take_the_colour_of_the_page(report):
    picture = svg.inline(lambda: plots.blocks(report), "p")
    assert "currentColor" in picture
    assert "#000000" not in picture


def test_what_comes_from_outside_cannot_act(config, report, evidence):
    plain = len(Tags(page.render(config, report, evidence)).tags)
    report.model = report.clip = report.labels = report.notes[0] = report.top5[0].label = HOSTILE
    report.source["uri"] = report.first_divergence = report.coverage.reason = HOSTILE
    report.blocks[1].name = HOSTILE
    found = Tags(page.render(config, report, evidence))
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [a for _, a in found.tags if "onload" in a]
    assert len(found.tags) == plain + 2, "the line of the first divergence, and nothing else"
    assert "{{ 7*7 }}" in found.text
    report.status, report.error = "failed", HOSTILE
    assert "<script" not in page.render(config, report, evidence)


def test_secrets_in_addresses_are_left_out(config, report):
    text = page.render(config, report, None)
    assert "https://host/a.pth" in text
    assert "pw@" not in text
    assert "token" not in text


def test_of_a_run_that_failed_before_its_proof(config, tmp_path):
    report = Report("m", error="the download failed; try again")
    text = page.write(tmp_path, config, report, None).read_text()
    found = Tags(text)
    assert "the download failed; try again" in found.text
    assert "not reached" in found.text
    assert found.pictures() == []
    assert "passed" not in found.text


def test_of_a_failed_proof(config, report, evidence):
    report.status, report.error, report.first_divergence = "failed", "the logits differ", "blocks.0"
    report.logits.decide(False)
    found = Tags(page.render(config, report, evidence))
    assert "the logits differ" in found.text
    assert "First divergence: blocks.0" in found.text


def test_of_a_proof_that_came_to_the_features(config, evidence):
    found = Tags(page.render(config, Report("m", error="e"), Evidence(evidence.features)))
    assert found.pictures() == ["spectrogram of the clip"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_of_what_is_not_finite(config, report, evidence, value):
    report.status, report.blocks = "failed", [Block("embeddings", value, value), Block("blocks.0", 1.0, math.inf)]
    report.logits.max_abs_diff = report.logits.mean_abs_diff = report.logits.cosine = value
    report.top5[0].converted = value
    converted = evidence.converted.copy()
    converted[3] = value
    found = Tags(page.render(config, report, Evidence(evidence.features, evidence.original, converted)))
    assert "1 are not finite" in found.text
    converted[:] = value
    found = Tags(page.render(config, report, Evidence(evidence.features, evidence.original, converted)))
    assert "differences of the logits" not in found.pictures()


def test_of_equal_logits(config, report, evidence):
    Tags(page.render(config, report, Evidence(evidence.features, evidence.original, evidence.original)))


def test_the_page_of_a_sweep_shows_the_variants_side_by_side(tmp_path):
    jobs = [
        Job(0, "good", "passed", {"logits": [1e-5, 2e-5]}),
        Job(0, "exact", "passed", {"logits": [0.0, 2e-5]}, number=1),
        Job(5, HOSTILE, "failed", {"logits": [math.nan, 2e-5]}, number=2, overrides=["model=x", f"audio={HOSTILE}"]),
        Job(1, "lost", "lost", number=3),
    ]
    _, path = table.write(jobs, tmp_path)
    found = Tags(path.read_text())
    assert found.pictures() == ["variants side by side"]
    assert "script" not in {tag for tag, _ in found.tags}
    for text in ("0 good", "1 exact", "2 of 4 jobs passed", "\\x1b"):
        assert text in found.text


def test_the_page_of_a_sweep_that_measured_nothing_has_no_picture(tmp_path):
    _, path = table.write([Job(1, "m", "lost")], tmp_path)
    assert Tags(path.read_text()).pictures() == []


def test_the_labels_of_the_axis_of_a_sweep_are_decades():
    figure = plots.sweep([Job(0, "m", "passed", {"logits": [1.67e-5, 2e-5]})])
    (axes,) = figure.axes
    assert axes.get_xlim() == (pytest.approx(1e-6), pytest.approx(1e-4))
    figure.canvas.draw()
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))
