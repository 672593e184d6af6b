"""The results of a conversion as plain data. Imports nothing of the package, so that everything may import it.

The keys of :class:`Report` are a contract: tools read ``conversion_report.json``.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 2

Status = Literal["passed", "failed", "not_checked", "not_applicable"]

Measure = float | int | str
"""What a check measures: a difference, a count, a version."""

NOT_REACHED = "not reached"

INTERRUPTED = "interrupted"
"""The error of a run that a person or the system stopped."""

SYNTHETIC_FEATURES = "synthetic features (seed 0)"
"""The ``clip`` of a report whose proof used none; the seed is that of :mod:`ast2hf.proof.evidence`."""

BLOCK_RTOL = 1e-5
"""Relative difference from which a block counts as diverging: ten times the rounding of float32 over twelve blocks."""

MAX_ABS_DIFF = "max_abs_diff"
"""The measure that a check's ``atol`` bounds."""

TOLERANCE_USED = "tolerance_used"
"""The largest share that any value's difference has of its bound, ``atol + rtol * |reference|``."""

NO_HEAD = "none"
"""The ``head`` in the report of an encoder."""

MEAN = "mean"
"""The ``pooling`` of a model that averages its patches, which no AST class of transformers does."""

NOT_EXPRESSIBLE = "not_expressible"
"""The key of a front end with the reason why transformers has no extractor for it; absent if it has one."""

LOGITS = "logits"
"""The check of all logits, the one that plots show if there are several."""

MAP, AUC, D_PRIME, ACCURACY, ACCURACY_TOP5 = "mAP", "AUC", "d_prime", "accuracy", "accuracy_top5"
"""The metrics of an evaluation. The headline, which people quote, is mAP of a multi-label model, else accuracy."""

AGREEMENT, HEADLINE = "agreement", "headline"
"""The bounds of the check of a data set: the least agreement, and the largest difference of the headline."""

HEADLINE_DIFFERENCE = "_difference"
"""The measure that ``HEADLINE`` bounds: the name of the headline with this ending."""

FRAME_SHIFT_MS = 10.0
"""Milliseconds between frames; a front end with another step has it as ``frame_shift_ms``."""


@dataclass(frozen=True)
class CheckResult:
    """One comparison: what was measured, its tolerance, and the verdict.

    A check that was not made has a reason, and never counts as passed. ``tolerance``: ``atol``, and ``rtol`` if the
    bound also grows with the reference; for a data set, ``agreement`` and ``headline``.
    """

    name: str
    title: str
    status: Status = "not_checked"
    reason: str | None = NOT_REACHED
    measured: Mapping[str, Measure] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)

    @property
    def max_abs_diff(self) -> float | None:
        value = self.measured.get(MAX_ABS_DIFF)
        return float(value) if isinstance(value, float | int) else None

    @property
    def atol(self) -> float | None:
        return self.tolerance.get("atol")


@dataclass(frozen=True)
class Block:
    """Of one block's output: the largest absolute difference, and norm of the difference over norm of the reference."""

    name: str
    max_abs_diff: float
    relative_diff: float


@dataclass(frozen=True)
class Label:
    """One of the best labels of the clip, with the sigmoid or softmax scores of both models."""

    label: str
    original: float
    converted: float


@dataclass(frozen=True)
class Metric:
    """A figure over a data set, of the original and of the folder; None if it is undefined."""

    original: float | None
    converted: float | None

    @property
    def difference(self) -> float | None:
        """Converted minus original."""
        if self.original is None or self.converted is None:
            return None
        return self.converted - self.original


@dataclass(frozen=True)
class ClassFigures:
    """For one class: the number of clips that have it, and the average precision of both models, 0 to 1.

    None if no clip or every clip has it; the class is then left out of the mean.
    """

    label: str
    positives: int
    original: float | None
    converted: float | None

    @property
    def difference(self) -> float | None:
        """Converted minus original."""
        return Metric(self.original, self.converted).difference


@dataclass(frozen=True)
class WorstClip:
    """A clip whose logits differ most. ``labels``: the true ones; the other two: each model's best label."""

    clip: str
    max_abs_diff: float
    labels: tuple[str, ...]
    original: str
    converted: str


@dataclass(frozen=True)
class Evaluation:
    """Original and folder over a data set, each on the features of its own front end.

    ``name``: of the data set, never a path of the machine. ``digest``: SHA-256 over names, labels and contents of its
    clips. ``clips``: how many were used; ``skipped``: those that could not be read, and why. ``headline``: the key
    of the first of ``metrics``, which people quote. ``agreement``: the share of clips whose best label is the same. The
    differences are of the logits, over all clips and classes. ``histogram``: counts of log10 of them, in ``edges``.
    ``batch_size`` and ``dtype`` are those of the forward passes. ``clips_per_second``: through both models, decoding
    included, in this run alone; None if everything was cached. ``original_epsilon``: if the folder's layer_norm_eps
    differs from the original's, its ``max_abs_diff`` and headline with the original's.
    """

    name: str
    digest: str
    clips: int
    skipped: Mapping[str, str]
    headline: str
    metrics: Mapping[str, Metric]
    classes: tuple[ClassFigures, ...]
    agreement: float
    max_abs_diff: float
    mean_abs_diff: float
    p99_abs_diff: float
    edges: tuple[float, ...]
    histogram: tuple[int, ...]
    worst: tuple[WorstClip, ...]
    batch_size: int
    dtype: str
    clips_per_second: float | None = None
    original_epsilon: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def undefined(self) -> tuple[str, ...]:
        """The classes that are left out of mAP and AUC."""
        return tuple(c.label for c in self.classes if c.original is None)


@dataclass
class Report:
    """One conversion, finished or not. It holds no path of the machine: of a local file only the name.

    ``date``: when it began, UTC, ISO 8601. ``pooling``: what the original does with its tokens, ``cls`` or ``mean``.
    ``head_apart``: tensors of a head stored in a file beside the encoder, and their shapes. ``resized``: the sizes
    from and to which position embeddings were fitted, and the rule; empty if they are the source's.
    """

    model: str
    schema_version: int = SCHEMA_VERSION
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    status: Literal["passed", "failed"] = "failed"
    error: str | None = None
    family: str | None = None
    head: str | None = None
    pooling: str | None = None
    problem_type: str | None = None
    source: dict[str, Any] = field(
        default_factory=lambda: {"uri": None, "sha256": None, "bytes": None, "keys": [], "prefix": ""}
    )
    configuration_sha256: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    clip: str | None = None
    clip_sha256: str | None = None
    labels: str | None = None
    geometry: dict[str, int] = field(default_factory=dict)
    front_end: dict[str, Any] = field(default_factory=dict)
    layer_norm_eps: float | None = None
    exact_epsilon: bool = False
    resized: dict[str, Any] = field(default_factory=dict)
    head_apart: dict[str, list[int]] = field(default_factory=dict)
    dropped_tensors: dict[str, str] = field(default_factory=dict)
    checks: dict[str, CheckResult] = field(default_factory=dict)
    first_divergence: str | None = None
    blocks: list[Block] = field(default_factory=list)
    top5: list[Label] = field(default_factory=list)
    evaluation: Evaluation | None = None
    device: str | None = None
    dtype: str = "float32"
    notes: list[str] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: environment())

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN and no infinity: both become null, and the check has failed anyway."""
        value: dict[str, Any] = _finite(asdict(self))
        for check in value["checks"].values():
            del check["name"]  # it is the key
        return value


@dataclass(frozen=True)
class Figures:
    """The arrays of the proof, as far as it got: too large for the report's JSON, and needed for the plots.

    ``features`` of the clip, (frames, bins), normalised log mel; all logits of both models, (labels,). ``worst``: the
    features of the clips of ``Evaluation.worst``, in their order.
    """

    features: NDArray[np.float32]
    original: NDArray[np.float32] | None = None
    converted: NDArray[np.float32] | None = None
    worst: tuple[NDArray[np.float32], ...] = ()


@dataclass
class Conversion:
    """The outcome of one conversion, finished or not.

    ``folder``: the published model folder, or the existing one; None if nothing was published.
    ``skipped``: the folder was already up to date. ``restored``: the checkpoint that task=restore wrote.
    """

    report: Report
    folder: Path | None = None
    skipped: bool = False
    figures: Figures | None = None
    restored: Path | None = None


def environment() -> dict[str, str]:
    """Versions of everything that affects the results."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("ast2hf", "torch", "torchaudio", "transformers", "safetensors", "huggingface_hub", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
