"""What a check found, and the comparison with a tolerance that most checks make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ast2hf.config import Tolerance
from ast2hf.errors import ConfigurationError
from ast2hf.proof import compare
from ast2hf.results import MAX_ABS_DIFF, TOLERANCE_USED, Measure, Status

if TYPE_CHECKING:
    from torch import Tensor

    from ast2hf.proof.evidence import Evidence


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    status: Status
    measured: Mapping[str, Measure] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None


def no_extractor(evidence: Evidence) -> Finding | None:
    """The finding of a check that needs the folder's feature extractor, if it has none."""
    return None if evidence.clip is not None else Finding("not_applicable", reason=evidence.not_heard)


def compared(
    actual: Tensor, reference: Tensor, tolerance: Tolerance | None, name: str,
    more: Mapping[str, Measure] | None = None, hint: str = "",
) -> Finding:  # fmt: skip
    """What comparing two tensors finds. ``name``: of the check; ``more``: what else it measured; ``hint``: for a reader
    of its failure.

    Raises ConfigurationError without a tolerance, VerificationError if the shapes differ.
    """
    if tolerance is None:
        raise ConfigurationError(
            f"no tolerance is set for {name} on {reference.device.type}",
            f"set verify.tolerances.{name}.{reference.device.type}.atol",
        )
    bounds = {"atol": tolerance.atol, **({"rtol": tolerance.rtol} if tolerance.rtol else {})}
    found = compare.difference(actual, reference, tolerance.atol, tolerance.rtol)
    measured: dict[str, Measure] = {
        MAX_ABS_DIFF: found.max_abs_diff, "mean_abs_diff": found.mean_abs_diff, "cosine": found.cosine,
        TOLERANCE_USED: found.tolerance_used, **(more or {}),
    }  # fmt: skip
    if found.passed:
        return Finding("passed", measured, bounds)
    reason = f"the difference is {found.max_abs_diff:.1e}, over the tolerance of {tolerance.atol:.1e}"
    return Finding("failed", measured, bounds, f"{reason}: {hint}" if hint else reason)
