"""The report of one conversion. Its keys are a contract: tools read ``conversion_report.json``."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Any, Literal

Status = Literal["passed", "failed", "not_checked"]

NOT_REACHED = "not reached"

INTERRUPTED = "interrupted"
"""The error of a run that a person or the system stopped."""


@dataclass
class Check:
    """A check that was not made says so, with the reason; it never counts as passed."""

    status: Status = "not_checked"
    reason: str | None = NOT_REACHED

    def decide(self, passed: bool, reason: str | None = None) -> bool:
        self.status = "passed" if passed else "failed"
        self.reason = reason
        return passed


@dataclass
class Coverage(Check):
    """Numbers of tensors: in the source, consumed, dropped; and produced in the target."""

    source: int | None = None
    consumed: int | None = None
    dropped: int | None = None
    targets: int | None = None
    dropped_tensors: dict[str, str] = field(default_factory=dict)


@dataclass
class Weights(Check):
    bit_exact: bool | None = None


@dataclass
class Load(Check):
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)


@dataclass
class Comparison(Check):
    max_abs_diff: float | None = None
    atol: float | None = None


@dataclass
class Logits(Comparison):
    rtol: float | None = None
    count: int | None = None
    mean_abs_diff: float | None = None
    cosine: float | None = None
    top5_agreement: float | None = None


@dataclass
class Block:
    """Of one block's output: largest absolute difference, and norm of the difference over norm of the reference."""

    name: str
    max_abs_diff: float
    relative_diff: float


@dataclass
class Label:
    """One of the best labels of the clip: sigmoid or softmax scores, original beside converted."""

    label: str
    original: float
    converted: float


@dataclass
class Report:
    model: str
    status: Literal["passed", "failed"] = "failed"
    error: str | None = None
    source: dict[str, Any] = field(default_factory=lambda: {"uri": None, "sha256": None, "bytes": None})
    configuration_sha256: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    clip: str | None = None
    labels: str | None = None
    geometry: dict[str, int] = field(default_factory=dict)
    front_end: dict[str, Any] = field(default_factory=dict)
    layer_norm_eps: float | None = None
    coverage: Coverage = field(default_factory=Coverage)
    weights: Weights = field(default_factory=Weights)
    load: Load = field(default_factory=Load)
    features: Comparison = field(default_factory=Comparison)
    pooled: Comparison = field(default_factory=Comparison)
    logits: Logits = field(default_factory=Logits)
    expected_logits: Comparison = field(default_factory=Comparison)
    blocks: list[Block] = field(default_factory=list)
    first_divergence: str | None = None
    top5: list[Label] = field(default_factory=list)
    device: str | None = None
    dtype: str = "float32"
    notes: list[str] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: environment())

    @property
    def checks(self) -> dict[str, Check]:
        """In the order of the proof."""
        return {
            "coverage": self.coverage,
            "weights": self.weights,
            "load": self.load,
            "features": self.features,
            "pooled": self.pooled,
            "logits": self.logits,
            "expected_logits": self.expected_logits,
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN and no infinity: there they are null, and the check's status is failed."""
        cleaned: dict[str, Any] = _finite(asdict(self))
        return cleaned


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value


def environment() -> dict[str, str]:
    """Versions of what computes."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("ast2hf", "torch", "torchaudio", "transformers", "safetensors", "huggingface_hub", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
