"""What must hold of the figures over a data set for a model to pass. Pure, and NaN never passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ast2hf.config import Gates
from ast2hf.results import AGREEMENT, HEADLINE, MAX_ABS_DIFF, Evaluation, Measure

FULL = "float32"
"""The dtype of a proof; with another one it is a screening."""

HEADLINE_GATES = {FULL: 1e-3, "bfloat16": 2e-3}
"""By the dtype of the forwards, the largest difference of the headline where ``data.gates.headline`` gives none.

The logit noise of bfloat16 costs 1.5e-4 of mAP, that of float32 1.5e-9 (measured, 500 clips of AudioSet).
"""


def bounds(gates: Gates, dtype: str) -> dict[str, float]:
    """The least agreement, and the largest difference of the headline."""
    headline = HEADLINE_GATES[dtype] if gates.headline is None else gates.headline
    return {AGREEMENT: gates.agreement, HEADLINE: headline}


def measures(evaluation: Evaluation) -> dict[str, Measure]:
    """What the check of a data set measured; a headline that is undefined is left out."""
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
    """Why the figures do not pass, in words; nothing where they do."""
    if not evaluation.agreement >= bounds[AGREEMENT]:
        yield f"the best label is the same for {evaluation.agreement:.4f} of the clips, under {bounds[AGREEMENT]:g}"
    name, difference = evaluation.headline, evaluation.metrics[evaluation.headline].difference
    if difference is None:
        yield f"{name} is undefined: there is no class that some clips have and some have not"
    elif not abs(difference) <= bounds[HEADLINE]:
        yield f"{name} differs by {abs(difference):.1e}, over {bounds[HEADLINE]:.1e}"
