"""Reports as a proof makes them."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from ast2hf.results import Block, CheckResult, Figures, Label, Report

HOSTILE = "<script>alert(1)</script>\" onload='x' {{ 7*7 }} $\\frac$ | `a` [b](c) \x1b[31m\n# new"


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


def _passed(name, title, measured, **tolerance):
    return CheckResult(name, title, "passed", None, measured, tolerance)


def report():
    """Of a conversion that passed."""
    checks = [
        _passed("coverage", "tensors of the checkpoint", {"mapped": 151, "dropped": 4, "written": 160}),
        _passed("weights", "written weights", {"bit_exact": 160, "recomputed": 0}),
        _passed("features", "feature extractor", {"max_abs_diff": 0.0}, atol=5e-3),
        _passed("pooled", "pooled output", {"max_abs_diff": 1.9e-6}, atol=5e-6),
        _passed(
            "logits", "all logits",
            {"max_abs_diff": 1.29e-5, "mean_abs_diff": 3e-6, "cosine": 1.0, "top5_agreement": 1.0, "count": 7},
            atol=2e-5, rtol=1e-5,
        ),
        CheckResult("published_logits", "published logits", "not_checked", "not the official clip"),
    ]  # fmt: skip
    return Report(
        model="m", status="passed", family="ast", head="classification", device="cpu", clip="clip.wav", labels="none",
        problem_type="multi_label_classification", layer_norm_eps=1e-6,
        source={"uri": "a.pth", "sha256": "ab12", "bytes": 1234567, "keys": [], "prefix": ""},
        front_end={"sampling_rate": 16000, "max_length": 1024},
        checks={check.name: check for check in checks}, date="2024-05-06T07:08:09+00:00",
        blocks=[Block("embeddings", 0.0, 0.0), Block("blocks.0", 1e-6, 2e-7), Block("logits", 1e-6, 2e-7)],
        top5=[Label("Speech", 0.91234, 0.91231)], notes=["a note"], timings_s={"read": 0.5},
        dropped_tensors={"v.head.bias": "not used"},
    )  # fmt: skip


def headless():
    """Of an encoder without a head."""
    made = report()
    del made.checks["published_logits"]
    made.checks["logits"] = CheckResult("logits", "all logits", "not_applicable", "the folder has no head")
    return replace(made, head="none", problem_type=None, top5=[], labels=None)


def figures():
    random = np.random.default_rng(0)
    original = random.normal(size=7).astype(np.float32)
    return Figures(random.normal(size=(64, 32)).astype(np.float32), original, original + np.float32(1e-6))


def fail(report, name, **measured):
    """The check ``name`` as failed, with what is given measured instead."""
    check = report.checks[name]
    report.checks[name] = replace(check, status="failed", measured={**check.measured, **measured})
