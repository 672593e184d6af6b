"""The proof: the checks one after another, with their findings written into the report."""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.config import DeviceTolerances
from ast2hf.errors import VerificationError
from ast2hf.proof.checks import CHECKS
from ast2hf.proof.evidence import Evidence
from ast2hf.results import BLOCK_RTOL, LOGITS, CheckResult, Conversion, Report


def prove(
    conversion: Conversion, evidence: Evidence, tolerances: Mapping[str, DeviceTolerances], *, to_the_end: bool = False
) -> None:
    """Make all checks. The first that fails raises VerificationError, and ends the proof.

    ``to_the_end``: if the failed check compared values, the remaining checks are still made.
    """
    report, failed = conversion.report, None
    try:
        for name, check in CHECKS.items():
            result = check(evidence, getattr(tolerances.get(name), evidence.device.type, None))
            report.checks[name] = result
            if result.status == "failed":
                failed = failed or result
                if not (to_the_end and result.tolerance):
                    break
    finally:
        _describe(conversion, evidence)
    if failed is not None:
        raise _error(report, failed, evidence)


def _describe(conversion: Conversion, evidence: Evidence) -> None:
    conversion.figures, report = evidence.figures(), conversion.report
    if evidence.evaluated is not None:
        report.evaluation = evidence.evaluated.evaluation
    if not evidence.has_outputs:
        return
    report.blocks, report.top5 = evidence.blocks, evidence.best_labels()
    failed = [name for name, result in report.checks.items() if result.status == "failed"]
    if failed:
        diverged = (block.name for block in report.blocks if not block.relative_diff <= BLOCK_RTOL)
        report.first_divergence = next(diverged, failed[0])


def _error(report: Report, failed: CheckResult, evidence: Evidence) -> VerificationError:
    where = f"; first divergence: {report.first_divergence}" if report.first_divergence else ""
    return VerificationError(
        f"the proof failed at {failed.name} ({failed.title}): {failed.reason}{where}",
        "see the report for the measurements; nothing was published" + _two_epsilons(failed, evidence),
    )


def _two_epsilons(failed: CheckResult, evidence: Evidence) -> str:
    """What else to try if the logits are the first to differ: that may be due to the head's own epsilon."""
    if failed.name != LOGITS or evidence.spec.exact_epsilon:
        return ""
    return "; try model.exact_epsilon=true, which keeps both epsilons of the original by scaling weights"
