"""What a proof over a data set found out, as it would be in a report."""

from __future__ import annotations

from ast2hf.results import ClassFigures, Evaluation, Metric, WorstClip


def evaluation() -> Evaluation:
    """Of a multi-label model with three classes, one of which no clip has."""
    return Evaluation(
        name="esc50", digest="fedcba9876543210" * 4, clips=2000, skipped={"cut.wav": "it is cut short"},
        headline="mAP", metrics={"mAP": Metric(0.4593, 0.4592), "d_prime": Metric(None, 2.0)},
        classes=(
            ClassFigures("Dog", 40, 0.5, 0.5),
            ClassFigures("| <b>", 3, 0.4, 0.3999),
            ClassFigures("Cat", 0, None, None),
        ),
        agreement=0.999, max_abs_diff=3e-5, mean_abs_diff=1e-6, p99_abs_diff=9e-6, edges=(-7.0, -6.0, -5.0),
        histogram=(5, 1), worst=(WorstClip("a.wav", 3e-5, ("Dog",), "Dog", "Dog"),), batch_size=8, dtype="float32",
        clips_per_second=12.5,
    )  # fmt: skip
