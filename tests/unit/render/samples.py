"""Reports as a proof makes them."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from ast2hf.results import (
    ACCURACY,
    ACCURACY_TOP5,
    AUC,
    D_PRIME,
    MAP,
    Block,
    CheckResult,
    ClassFigures,
    Evaluation,
    Figures,
    Label,
    Metric,
    Report,
    WorstClip,
)

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


LABELS = (
    "Speech", "Dog", "Music | live <b>", "\N{DOG FACE} bark", "a very long name of a class, " * 12, "Vacuum cleaner",
    "Rain", "no clip has this", "Engine", "Door wood knock",
)  # fmt: skip


def evaluation(headline=MAP, apart=1e-3):
    """Of 400 clips, of which two more were skipped; no clip has one of the classes. ``apart``: the scale of the
    differences."""
    random = np.random.default_rng(0)
    metrics = {
        MAP: Metric(0.459033, 0.459033 - apart / 7), AUC: Metric(0.978562, 0.978562 + apart / 30),
        D_PRIME: Metric(2.863664, 2.863664 + apart / 9), ACCURACY: Metric(0.9575, 0.9575),
        ACCURACY_TOP5: Metric(0.9975, 0.995),
    }  # fmt: skip
    classes = [
        ClassFigures(label, 0, None, None)
        if label == "no clip has this"
        else ClassFigures(label, 40, float(precision), float(precision + random.normal() * apart))
        for label, precision in zip(LABELS, random.random(len(LABELS)) * 0.8 + 0.1, strict=True)
    ]
    edges = tuple(-10 + 0.25 * step for step in range(49))
    powers = random.normal(-5.3, 0.5, 4000).clip(edges[0], edges[-1])
    powers[:300] = edges[0]
    histogram = tuple(int(count) for count in np.histogram(powers, edges)[0])
    worst = tuple(
        WorstClip(f"clips/5-{number}.wav", apart / (number + 1), (LABELS[number],), LABELS[number], LABELS[number])
        for number in range(10)
    )
    worst = (replace(worst[0], labels=LABELS[:3], converted="Rain"), replace(worst[1], labels=()), *worst[2:])
    return Evaluation(
        name="ESC-50, fold 1", digest="cd" * 32, clips=400, headline=headline,
        skipped={"clips/a.wav": "it is cut short", "clips/b.wav": "it is not a sound file"},
        metrics={headline: metrics[headline], **metrics}, classes=tuple(classes), agreement=0.9975,
        max_abs_diff=apart, mean_abs_diff=apart / 50, p99_abs_diff=apart / 9, edges=edges, histogram=histogram,
        worst=worst, batch_size=8, dtype="float32", clips_per_second=12.345,
    )  # fmt: skip


def over_a_data_set(evaluation):
    """The report of a conversion that was proved over it."""
    made = report()
    headline = evaluation.metrics[evaluation.headline]
    measured = {
        "clips": 400, "skipped": len(evaluation.skipped), "agreement": evaluation.agreement,
        f"{evaluation.headline}_original": headline.original, f"{evaluation.headline}_converted": headline.converted,
        f"{evaluation.headline}_difference": headline.difference, "max_abs_diff": evaluation.max_abs_diff,
        "mean_abs_diff": evaluation.mean_abs_diff, "p99_abs_diff": evaluation.p99_abs_diff,
    }  # fmt: skip
    check = _passed("data_set", "data set", measured, agreement=0.99, headline=1e-3)
    return replace(made, evaluation=evaluation, checks={**made.checks, "data_set": check})


def renamed(evaluation, name):
    """The same with ``name`` in place of all that comes from outside."""
    return replace(
        evaluation, name=name, digest=name, skipped={name: name, f"{name}2": name},
        classes=tuple(replace(figures, label=name) for figures in evaluation.classes),
        worst=tuple(replace(w, clip=name, labels=(name,), original=name, converted=name) for w in evaluation.worst),
    )  # fmt: skip


def worst_features():
    """Of the first clips of :func:`evaluation`: pictures cost time."""
    random = np.random.default_rng(1)
    return tuple(random.normal(size=(64, 32)).astype(np.float32) for _ in range(2))


def fail(report, name, **measured):
    """The check ``name`` as failed, with what is given measured instead."""
    check = report.checks[name]
    report.checks[name] = replace(check, status="failed", measured={**check.measured, **measured})
