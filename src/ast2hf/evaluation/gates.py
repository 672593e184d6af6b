"""The conditions that the figures over a data set must meet to pass. Pure, and NaN never passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ast2hf.config import Gates
from ast2hf.results import AGREEMENT, HEADLINE, MAX_ABS_DIFF, Evaluation, Measure

FULL = "float32"
"""The dtype of a proof; with any other it is a screening."""

HEADLINE_GATES = {FULL: 1e-3, "bfloat16": 2e-3}
"""The largest difference of the headline by dtype, if ``data.gates.headline`` is not set.

The logit noise of bfloat16 costs 1.5e-4 of mAP, that of float32 1.5e-9 (measured, 500 clips of AudioSet).
"""


def bounds(gates: Gates, dtype: str) -> dict[str, float]:
    """The least agreement, and the largest difference of the headline."""
    headline = HEADLINE_GATES[dtype] if gates.headline is None else gates.headline
    return {AGREEMENT: gates.agreement, HEADLINE: headline}


def measures(evaluation: Evaluation) -> dict[str, Measure]:
    """What the data set check measured, without a headline that is undefined."""
    name, figure = evaluation.headline, evaluation.metrics[evaluation.headline]
    values = {"original": figure.original, "converted": figure.converted, "difference": figure.difference}
    return {
        "clips": evaluation.clips,
        "skipped": len(evaluation.skipped),
        AGREEMENT: evaluation.agreement,
        **{f"{name}_{key}": value for key, value in values.items() if value is not None},
        MAX_ABS_DIFF: evaluation.max_abs_diff,
        "mean_abs_diff": evaluation.mean_abs_diff,
        "p99_abs_diff": evaluation.p99_abs_diff,
    }


def broken(evaluation: Evaluation, bounds: Mapping[str, float]) -> Iterator[str]:
    """Why the figures do not pass, in words; nothing if they do."""
    if not evaluation.agreement >= bounds[AGREEMENT]:
        yield f"the best label agrees for only {evaluation.agreement:.4f} of the clips, below {bounds[AGREEMENT]:g}"
    name, difference = evaluation.headline, evaluation.metrics[evaluation.headline].difference
    if difference is None:
        yield f"{name} is undefined: no class has both positive and negative clips"
    elif not abs(difference) <= bounds[HEADLINE]:
        yield f"{name} differs by {abs(difference):.1e}, more than {bounds[HEADLINE]:.1e}"
