"""The checks of the proof, in the order in which they are made.

Adding one: a function here, and its tolerances in ``conf/verify/default.yaml``. The report, every table, the model card
and MLflow show what it measures without further edits. A check gets the evidence and its tolerance for the device, None
if the configuration has none. Its measure ``max_abs_diff`` is the one that ``atol`` bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ast2hf.config import Tolerance
from ast2hf.errors import InputError, VerificationError
from ast2hf.evaluation import gates
from ast2hf.families.base import MEAN
from ast2hf.families.geometry import CLASS_TOKENS
from ast2hf.proof import compare
from ast2hf.proof.finding import Finding, compared, no_extractor
from ast2hf.results import MAX_ABS_DIFF, CheckResult, Measure, Status

if TYPE_CHECKING:
    from torch import Tensor

    from ast2hf.families.base import Activations
    from ast2hf.formats.base import TensorFile
    from ast2hf.proof.evidence import Evidence

PLANNED = {"recognition": "family of the checkpoint", "coverage": "tensors of the checkpoint"}
"""Checks made during planning, before there is a folder: name and title."""

DEFAULT_EPSILON = 1e-12
"""The default ``layer_norm_eps`` of transformers' ASTConfig; the published logits were computed with it."""

NO_HEAD = "the folder has no head"

OWN_POOLING = (
    "the original averages its patches, but the folder's class averages its two class tokens; see last_hidden_state"
)

HALF_ATTENTION_ATOL = 0.05
"""For logits of an attention that supports only half precision: entirely in float16 they differ by 1.5e-2 (measured,
base size)."""


@dataclass(frozen=True)
class Check:
    name: str
    title: str
    function: Callable[[Evidence, Tolerance | None], Finding]

    def __call__(self, evidence: Evidence, tolerance: Tolerance | None) -> CheckResult:
        found = self.function(evidence, tolerance)
        return CheckResult(
            self.name, self.title, found.status, found.reason, dict(found.measured), dict(found.tolerance)
        )


CHECKS: dict[str, Check] = {}


def check(title: str) -> Callable[[Callable[[Evidence, Tolerance | None], Finding]], Check]:
    """Register a function as the check of its name, with this ``title``."""

    def register(function: Callable[[Evidence, Tolerance | None], Finding]) -> Check:
        CHECKS[function.__name__] = Check(function.__name__, title, function)
        return CHECKS[function.__name__]

    return register


def none_reached() -> dict[str, CheckResult]:
    """All checks in the order of the proof, none of them made yet."""
    titles = {**PLANNED, **{name: made.title for name, made in CHECKS.items()}}
    return {name: CheckResult(name, title) for name, title in titles.items()}


def planned(name: str, status: Status, reason: str | None = None, **measured: Measure) -> CheckResult:
    """The result of a check made during planning."""
    return CheckResult(name, PLANNED[name], status, reason, measured)


@check("written weights")
def weights(evidence: Evidence, _: Tolerance | None) -> Finding:
    """What was copied, mapped back, equals the source bit for bit; what was computed is within half a unit in the last
    place of the same computation in float64. A head in a file of its own equals the source bit for bit."""
    copied, computed = evidence.spec.plan.parts()
    for name in evidence.spec.plan.sources:
        if not evidence.original[name].isfinite().all():
            raise InputError(
                f"tensor {name} has values that are not finite in float32 (NaN, infinity or too large)",
                "use another checkpoint: the file is corrupt or training diverged",
            )
    with evidence.format.tensors(evidence.folder) as written:
        missing = sorted(evidence.spec.plan.targets.keys() - set(written.keys()))
        if missing:
            return Finding("failed", {"missing": len(missing)}, reason=f"{missing[0]} is not in the file")
        if evidence.restored:
            return _restored_weights(evidence, written)
        for name, restored in copied.reversed().tensors(written.get_tensor):
            if not compare.bitwise_equal(restored, evidence.original[name]):
                return Finding("failed", reason=f"{name} differs from the source")
        for name, exact in computed.tensors(lambda name: evidence.original[name].double()):
            if not compare.is_rounding_of(written.get_tensor(name), exact):
                return Finding("failed", reason=f"{name} differs from the same computation in float64")
    measured = {"bit_exact": len(copied.targets), "recomputed": len(computed.targets)}
    if not evidence.spec.head_apart:
        return Finding("passed", measured)
    with evidence.format.head_apart(evidence.folder) as head:
        if sorted(head.keys()) != sorted(evidence.spec.head_apart):
            return Finding("failed", reason="the head's file does not hold exactly the tensors of the head")
        for name in evidence.spec.head_apart:
            if not compare.bitwise_equal(head.get_tensor(name), evidence.original[name]):
                return Finding("failed", reason=f"{name} in the head's file differs from the source")
    return Finding("passed", {**measured, "head_apart": len(evidence.spec.head_apart)})


def _restored_weights(evidence: Evidence, written: TensorFile) -> Finding:
    """The reverse: what was copied back equals the folder bit for bit, the rest within one rounding."""
    copied, computed = evidence.spec.plan.parts()
    for name, back in copied.reversed().tensors(lambda name: written.get_tensor(name).float()):
        if not compare.bitwise_equal(back, evidence.original[name]):
            return Finding("failed", reason=f"{name} differs from the folder")
    for name, exact in computed.undone().tensors(lambda name: written.get_tensor(name).double()):
        if not compare.is_rounding_of(evidence.original[name], exact):
            return Finding("failed", reason=f"{name} differs from the same computation in float64")
    for name, again in computed.tensors(lambda name: evidence.original[name].double()):
        if not compare.is_close_to(written.get_tensor(name).float(), again):
            return Finding("failed", reason=f"{name} of the folder cannot come from any original")
    return Finding("passed", {"bit_exact": len(copied.sources), "recomputed": len(computed.sources)})


@check("from_pretrained")
def loading(evidence: Evidence, _: Tolerance | None) -> Finding:
    """``from_pretrained`` finds every tensor that it needs, and needs every tensor that it finds."""
    info = evidence.loaded.info
    measured = {"missing": len(info.missing), "unexpected": len(info.unexpected), "mismatched": len(info.mismatched)}
    names = [*info.missing, *info.unexpected, *info.mismatched]
    if not names:
        return Finding("passed", measured)
    return Finding("failed", measured, reason=f"{len(names)} tensors do not match, starting with {names[0]}")


@check("feature extractor")
def features(evidence: Evidence, tolerance: Tolerance | None) -> Finding:
    """The folder's feature extractor computes what the authors' front end computes."""
    if finding := no_extractor(evidence):
        return finding
    return compared(evidence.features, evidence.original_features, tolerance, "features")


@check("last hidden state")
def last_hidden_state(evidence: Evidence, tolerance: Tolerance | None) -> Finding:
    """All tokens after the last norm, both models on the same features."""
    actual, reference = evidence.converted, evidence.reference
    return compared(actual.last_hidden_state, reference.last_hidden_state, tolerance, "last_hidden_state")


@check("pooled output")
def pooled(evidence: Evidence, tolerance: Tolerance | None) -> Finding:
    """The vector before the head."""
    if evidence.spec.pooling == MEAN:
        return Finding("not_applicable", reason=OWN_POOLING)
    return compared(evidence.converted.pooled, evidence.reference.pooled, tolerance, "pooled")


@check("all logits")
def logits(evidence: Evidence, tolerance: Tolerance | None) -> Finding:
    """Every logit, both models on the same features."""
    actual, reference = evidence.converted.logits, evidence.reference.logits
    if actual is None or reference is None:
        return Finding("not_applicable", reason=NO_HEAD)
    more: dict[str, Measure] = {"top5_agreement": _top5_agreement(actual, reference), "count": reference.numel()}
    if evidence.loaded.layer_norm_eps != evidence.spec.layer_norm_eps:
        with evidence.loaded.with_epsilon(evidence.spec.layer_norm_eps):
            same = evidence.loaded(evidence.features.to(evidence.device)).logits
        assert same is not None
        more["max_abs_diff_with_original_epsilon"] = (same - reference).abs().max().item()
    return compared(actual, reference, tolerance, "logits", more)


@check("end to end")
def end_to_end(evidence: Evidence, tolerance: Tolerance | None) -> Finding:
    """The original on the authors' features against the folder on its own extractor's: what users of the folder get."""
    if finding := no_extractor(evidence):
        return finding
    actual, reference = (_outcome(evidence, a) for a in (evidence.converted, evidence.original_end_to_end))
    more = {} if evidence.spec.labels is None else {"top5_agreement": _top5_agreement(actual, reference)}
    return compared(actual, reference, tolerance, "end_to_end", more)


@check("published logits")
def published_logits(evidence: Evidence, _: Tolerance | None) -> Finding:
    """The first logits against the published ones, by the procedure behind them: the class's default epsilon."""
    if evidence.expected is None:
        return Finding("not_checked", reason=evidence.not_expected)
    if evidence.converted.logits is None:
        return Finding("not_applicable", reason=NO_HEAD)
    expected = evidence.converted.logits.new_tensor([evidence.expected.values])
    epsilon = DEFAULT_EPSILON * evidence.spec.residual_scale**2
    with evidence.loaded.with_epsilon(epsilon):
        repeated = evidence.loaded(evidence.features.to(evidence.device)).logits
    assert repeated is not None
    count = expected.shape[1]
    as_written = (evidence.converted.logits[:, :count] - expected).abs().max().item()
    return compared(
        repeated[:, :count], expected, Tolerance(evidence.expected.atol), "published_logits",
        {"max_abs_diff_as_written": as_written}, "they were published for another checkpoint or clip",
    )  # fmt: skip


@check("attention back ends")
def attention(evidence: Evidence, tolerance: Tolerance | None) -> Finding:
    """The folder with each implementation of attention, against the original: all logits, or all tokens of an encoder.

    An implementation limited to half precision has its own tolerance, and is left out of the largest difference.
    """
    if not evidence.every_attention:
        return Finding("not_checked", reason="verify.attention=all proves each of them")

    import torch

    def outcome(activations: Activations) -> Tensor:
        return activations.last_hidden_state if activations.logits is None else activations.logits

    loaded, reference = evidence.loaded, outcome(evidence.reference)
    measured: dict[str, Measure] = {}
    reasons: list[str | None] = []
    exact: list[Tensor] = []
    for name, absent in loaded.attentions.items():
        if absent is not None:
            measured[name] = absent
            continue
        with loaded.with_attention(name):
            actual = outcome(loaded(evidence.features.to(evidence.device)))
        half = name in loaded.half_attentions
        found = compared(
            actual, reference, Tolerance(HALF_ATTENTION_ATOL) if half else tolerance, "attention", hint=f"with {name}"
        )
        measured[f"{MAX_ABS_DIFF}_{name}"] = found.measured[MAX_ABS_DIFF]
        reasons += [found.reason] if found.status == "failed" else []
        exact += [] if half else [actual]
    together = compared(torch.cat(exact), torch.cat([reference] * len(exact)), tolerance, "attention", measured)
    return replace(together, status="failed", reason=reasons[0]) if reasons else together


@check("data set")
def data_set(evidence: Evidence, _: Tolerance | None) -> Finding:
    """Original and folder over a data set, each on its own front end: the best labels, and the headline figure.

    Its bounds are ``data.gates``. In any other dtype than float32 it is a screening, which can fail but never pass.
    """
    if finding := no_extractor(evidence):
        return finding
    if evidence.spec.labels is None:
        return Finding("not_applicable", reason=NO_HEAD)
    if evidence.data_set is None:
        return Finding("not_checked", reason="no data set was chosen (data=…)")
    settings = evidence.data_set.settings
    bounds = gates.bounds(settings.gates, settings.dtype)
    try:
        outcome = evidence.evaluation
    except VerificationError as error:  # logits that are not finite
        return Finding("failed", tolerance=bounds, reason=error.cause)
    if outcome.evaluation is None:
        return Finding("not_checked", reason=outcome.unfinished)
    measured = gates.measures(outcome.evaluation)
    if reasons := list(gates.broken(outcome.evaluation, bounds)):
        return Finding("failed", measured, bounds, "; ".join(reasons))
    if settings.dtype != gates.FULL:
        screened = f"only a screening in {settings.dtype}, not a proof: its figures are within the gates"
        return Finding("not_checked", measured, bounds, screened)
    return Finding("passed", measured, bounds)


def _top5_agreement(actual: Tensor, reference: Tensor) -> float:
    return compare.agreement(compare.top(reference), compare.top(actual))


def _outcome(evidence: Evidence, activations: Activations) -> Tensor:
    """What users of the folder get for a clip; for an encoder that they have to pool themselves, the pooled output."""
    if activations.logits is not None:
        return activations.logits
    if evidence.spec.pooling == MEAN:
        return activations.last_hidden_state[:, CLASS_TOKENS:].mean(dim=1)
    return activations.pooled
