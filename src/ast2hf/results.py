"""What a conversion found out: data alone. Imports nothing of the package, so that everything may import it.

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
"""The ``clip`` of a report whose proof heard none; the seed is that of :mod:`ast2hf.proof.evidence`."""

BLOCK_RTOL = 1e-5
"""Relative difference from which a block is said to diverge: ten times the rounding of float32 over twelve blocks."""

MAX_ABS_DIFF = "max_abs_diff"
"""The measure that a check's ``atol`` bounds."""

TOLERANCE_USED = "tolerance_used"
"""The largest share that any value's difference has of its bound, ``atol + rtol * |reference|``."""

NO_HEAD = "none"
"""The ``head`` of a report of an encoder alone."""

MEAN = "mean"
"""The ``pooling`` of a model that averages its patches, which no class of transformers does for AST."""

NOT_EXPRESSIBLE = "not_expressible"
"""The key of a front end that says why transformers has no feature extractor for it; absent where it has one."""

LOGITS = "logits"
"""The check of all logits, the one that pictures show where there is a choice."""

MAP, AUC, D_PRIME, ACCURACY, ACCURACY_TOP5 = "mAP", "AUC", "d_prime", "accuracy", "accuracy_top5"
"""The metrics of an evaluation. The headline, which people quote, is mAP of a multi-label model, else accuracy."""

AGREEMENT, HEADLINE = "agreement", "headline"
"""The bounds of the check of a data set: the least agreement, and the largest difference of the headline."""

HEADLINE_DIFFERENCE = "_difference"
"""What the measure that ``HEADLINE`` bounds ends with, after the name of the headline."""

FRAME_SHIFT_MS = 10.0
"""Milliseconds between frames; a front end with another step gives it as ``frame_shift_ms``."""


@dataclass(frozen=True)
class CheckResult:
    """One comparison: what was measured against which tolerance, and what follows from it.

    A check that was not made says why; it never counts as passed. ``tolerance``: ``atol``, and ``rtol`` where the
    bound also grows with the reference; of a data set ``agreement`` and ``headline``.
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
    """Of one block's output: largest absolute difference, and norm of the difference over norm of the reference."""

    name: str
    max_abs_diff: float
    relative_diff: float


@dataclass(frozen=True)
class Label:
    """One of the best labels of the clip: sigmoid or softmax scores, original beside converted."""

    label: str
    original: float
    converted: float


@dataclass(frozen=True)
class Metric:
    """A figure over a data set, of the original and of the folder; None where it is undefined."""

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
    """Of one class: the number of clips that have it, and the average precision of both models, 0 to 1.

    None where no clip has it, or every clip: it is then not among the classes whose mean is taken.
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
    """A clip whose logits differ most. ``labels``: the true ones; the other two: the best of each model."""

    clip: str
    max_abs_diff: float
    labels: tuple[str, ...]
    original: str
    converted: str


@dataclass(frozen=True)
class Evaluation:
    """Original and folder over a data set, each on the features of its own front end.

    ``name``: of the data set, never a path of the machine. ``digest``: SHA-256 over names, labels and contents of its
    clips. ``clips``: how many were heard; ``skipped``: those that could not be, and why. ``headline``: the key of the
    first of ``metrics``, which people quote. ``agreement``: the share of clips whose best label is the same. The
    differences are of the logits, over all clips and classes. ``histogram``: counts of log10 of them, in ``edges``.
    ``batch_size`` and ``dtype`` are of the forwards. ``clips_per_second``: through both models, decoding included; of
    this run alone, None where all was done before. ``original_epsilon``: what the folder gives with the original's
    layer_norm_eps, where it has another: ``max_abs_diff`` and the headline.
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
    """One conversion, as far as it came. Nothing in it is a path of the machine: a local file is its name alone.

    ``date``: of its beginning, UTC, ISO 8601. ``pooling``: what the original does with its tokens, ``cls`` or ``mean``.
    ``head_apart``: tensors of a head that lies beside an encoder, and their shapes. ``resized``: from and to which
    sizes position embeddings were fitted, and by which rule; empty where they are the source's.
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
        """For JSON, which has no NaN and no infinity: there they are null, and the check's status is failed."""
        value: dict[str, Any] = _finite(asdict(self))
        for check in value["checks"].values():
            del check["name"]  # the key says it
        return value


@dataclass(frozen=True)
class Figures:
    """What the proof has seen, as far as it came: too much for the report's JSON, enough to draw it.

    ``features`` of the clip, (frames, bins), normalised log mel; all logits of both models, (labels,). ``worst``: the
    features of the clips of ``Evaluation.worst``, in their order.
    """

    features: NDArray[np.float32]
    original: NDArray[np.float32] | None = None
    converted: NDArray[np.float32] | None = None
    worst: tuple[NDArray[np.float32], ...] = ()


@dataclass
class Conversion:
    """What came of one conversion, as far as it came.

    ``folder``: the published model folder, or the one that was there; None where nothing was published.
    ``skipped``: it was there already, as it would be made. ``restored``: the checkpoint that task=restore wrote.
    """

    report: Report
    folder: Path | None = None
    skipped: bool = False
    figures: Figures | None = None
    restored: Path | None = None


def environment() -> dict[str, str]:
    """Versions of what computes."""
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
