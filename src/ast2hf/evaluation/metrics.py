"""The figures of both models over a data set, as defined by the authors of AST.

Their definition (``calculate_stats`` of the repository YuanGongND/ast): sigmoid scores, also of a model trained with
cross-entropy; average precision and area under the ROC curve of each class by scikit-learn; their means over the
classes; d' from the mean area. Both are defined only for classes with a positive and a negative clip; the
others are left out of the means.

All arrays are (clips, labels), and may be ``np.memmap``: everything is computed block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ast2hf.config import MULTI_LABEL
from ast2hf.errors import InputError
from ast2hf.evaluation.differences import CLIPS, EDGES, Logits, blocks, differences
from ast2hf.results import (
    ACCURACY,
    ACCURACY_TOP5,
    AUC,
    D_PRIME,
    MAP,
    MAX_ABS_DIFF,
    ClassFigures,
    Evaluation,
    Metric,
    WorstClip,
)

Truth: TypeAlias = NDArray[np.bool_]

_LABELS = 32
"""Classes whose scores are computed at a time."""

_BEST = 5


def figures(
    original: Logits, converted: Logits, truth: Truth,
    *, clips: Sequence[str], labels: Sequence[str], problem_type: str,
    name: str, digest: str, skipped: Mapping[str, str], batch_size: int, dtype: str,
    clips_per_second: float | None = None, with_original_epsilon: Logits | None = None,
) -> Evaluation:  # fmt: skip
    """The figures from the logits of both models; the other fields of :class:`Evaluation` are passed through.

    ``truth``: which classes each clip has. ``clips`` and ``labels``: the names of the rows and the columns.
    ``with_original_epsilon``: the folder's logits with the original's layer_norm_eps, if that differs.

    Accuracy is the share of the clips whose best label is a true one; for top-5, one of the five best. Clips without a
    label are left out, and top-5 is None with five classes or fewer. d' is None if the mean area is 1 or 0, since it is
    then infinite.

    Raises InputError if there are no clips, VerificationError if a logit is not finite.
    """
    if not clips:
        raise InputError("no clip of the data set could be read", "check data.path, data.split and data.ids")
    found = differences(original, converted, clips)
    best = [_best(logits, truth) for logits in (original, converted)]
    precisions = [_per_class(_precision(), logits, truth) for logits in (original, converted)]
    areas = [_mean(_per_class(_area(), logits, truth)) for logits in (original, converted)]
    metrics = {
        MAP: Metric(*map(_mean, precisions)),
        AUC: Metric(*areas),
        D_PRIME: Metric(*map(d_prime, areas)),
        ACCURACY: Metric(*(model.accuracy for model in best)),
        ACCURACY_TOP5: Metric(*(model.accuracy_top5 for model in best)),
    }
    headline = headline_of(problem_type)
    epsilon = {}
    if with_original_epsilon is not None:
        epsilon = {
            MAX_ABS_DIFF: differences(original, with_original_epsilon, clips).largest,
            headline: _headline(headline, with_original_epsilon, truth),
        }
    return Evaluation(
        name=name, digest=digest, clips=len(clips), skipped=skipped, headline=headline,
        metrics={headline: metrics[headline], **metrics},
        classes=tuple(
            ClassFigures(label, int(truth[:, place].sum()), *(model[place] for model in precisions))
            for place, label in enumerate(labels)
        ),
        agreement=float((best[0].label == best[1].label).mean()),
        max_abs_diff=found.largest, mean_abs_diff=found.mean, p99_abs_diff=found.p99,
        edges=EDGES, histogram=found.histogram,
        worst=tuple(
            WorstClip(
                clips[place], float(found.of_clips[place]),
                tuple(label for label, has in zip(labels, truth[place], strict=True) if has),
                *(labels[model.label[place]] for model in best),
            )
            for place in found.worst
        ),
        batch_size=batch_size, dtype=dtype, clips_per_second=clips_per_second, original_epsilon=epsilon,
    )  # fmt: skip


def headline_of(problem_type: str) -> str:
    """The metric that people quote for such a model."""
    return MAP if problem_type == MULTI_LABEL else ACCURACY


def d_prime(area: float | None) -> float | None:
    """The distance of two normal distributions whose ROC curve has this area; None if it is infinite."""
    from scipy.special import ndtri  # which is scipy.stats.norm.ppf, without the import of scipy.stats

    distance = None if area is None else float(ndtri(area)) * sqrt(2)
    return distance if distance is not None and isfinite(distance) else None


@dataclass(frozen=True)
class _Best:
    """The place of each clip's best label, and how often it, or one of the best five, is a true one."""

    label: NDArray[np.intp]
    accuracy: float | None
    accuracy_top5: float | None


def _best(logits: Logits, truth: Truth) -> _Best:
    label, labelled, hits, hits_top5 = np.empty(len(logits), np.intp), 0, 0, 0
    for rows in blocks(len(logits), CLIPS):
        # Stable: among equal logits the first counts as the best, in both models.
        order = np.argsort(-logits[rows], axis=1, kind="stable")[:, :_BEST]
        hit = np.take_along_axis(truth[rows], order, axis=1)
        label[rows] = order[:, 0]
        labelled += int(truth[rows].any(axis=1).sum())
        hits += int(hit[:, 0].sum())
        hits_top5 += int(hit.any(axis=1).sum())
    few = logits.shape[1] <= _BEST
    return _Best(label, hits / labelled if labelled else None, hits_top5 / labelled if labelled and not few else None)


Score: TypeAlias = Callable[[Truth, Logits], float]


def _precision() -> Score:
    from sklearn.metrics import average_precision_score

    return average_precision_score  # type: ignore[no-any-return]


def _area() -> Score:
    from sklearn.metrics import roc_auc_score

    return roc_auc_score  # type: ignore[no-any-return]


def _per_class(score: Score, logits: Logits, truth: Truth) -> list[float | None]:
    """``score`` of each class; None if it is undefined."""
    from scipy.special import expit

    found: list[float | None] = []
    for columns in blocks(logits.shape[1], _LABELS):
        # float32, like the authors' sigmoid: large logits then become equal scores, and count as such.
        scores = expit(logits[:, columns])
        for has, given in zip(truth[:, columns].T, scores.T, strict=True):
            found.append(float(score(has, given)) if has.any() and not has.all() else None)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the defined values."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _headline(name: str, logits: Logits, truth: Truth) -> float | None:
    return _mean(_per_class(_precision(), logits, truth)) if name == MAP else _best(logits, truth).accuracy
