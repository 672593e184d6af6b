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

NO_HEAD = "none"
"""The ``head`` of a report of an encoder alone."""

MEAN = "mean"
"""The ``pooling`` of a model that averages its patches, which no class of transformers does for AST."""

NOT_EXPRESSIBLE = "not_expressible"
"""The key of a front end that says why transformers has no feature extractor for it; absent where it has one."""

LOGITS = "logits"
"""The check of all logits, the one that pictures show where there is a choice."""

FRAME_SHIFT_MS = 10.0
"""Milliseconds between frames; a front end with another step gives it as ``frame_shift_ms``."""


@dataclass(frozen=True)
class CheckResult:
    """One comparison: what was measured against which tolerance, and what follows from it.

    A check that was not made says why; it never counts as passed. ``tolerance``: ``atol``, and ``rtol`` where the
    bound also grows with the reference.
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

    ``features`` of the clip, (frames, bins), normalised log mel; all logits of both models, (labels,).
    """

    features: NDArray[np.float32]
    original: NDArray[np.float32] | None = None
    converted: NDArray[np.float32] | None = None


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
