"""The proof, one rung after the other; the first that fails raises VerificationError, and nothing is published.

Each function makes one check, writes what it measured into the report, and raises if it failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import ASTForAudioClassification

from ast2hf.audio import Clip
from ast2hf.checkpoint.source import Source
from ast2hf.config import MULTI_LABEL, ExpectedLogits, Tolerance
from ast2hf.errors import InputError, VerificationError
from ast2hf.huggingface import reload, weights
from ast2hf.mapping.plan import Plan
from ast2hf.reference.front_end import FrontEnd
from ast2hf.reference.model import Activations
from ast2hf.report.report import Block, Label, Report
from ast2hf.verify import compare

BLOCK_RTOL = 1e-5
"""Relative difference from which a block is said to diverge: ten times the rounding of float32 over twelve blocks."""

_NOT_PUBLISHED = "nothing was published; the report has the measurements"


def check_weights(report: Report, folder: Path, plan: Plan, source: Mapping[str, Tensor]) -> None:
    """The written file, mapped back by the inverse of the plan, equals the source bit for bit.

    ``source`` is read by torch.load, not by the reader that wrote the file.
    """
    with safe_open(folder / weights.FILENAME, framework="pt") as written:
        for name, restored in plan.invert(written.get_tensor):
            original = source[name]
            if not torch.isfinite(original).all():
                raise InputError(
                    f"tensor {name} has values that are not finite in float32 (NaN, infinity or too large)",
                    "give a checkpoint of a sound training",
                )
            if not compare.bits_equal(restored, original):
                report.weights.bit_exact = False
                report.weights.decide(False, f"{name} differs")
                raise VerificationError(f"the written weights differ from the source in {name}", _NOT_PUBLISHED)
    report.weights.bit_exact = True
    report.weights.decide(True)


def check_load(report: Report, folder: Path, device: torch.device) -> ASTForAudioClassification:
    """``from_pretrained`` finds each tensor it wants, and wants each it finds. Returns the model."""
    model, info = reload.load_model(folder, device)
    report.load.missing, report.load.unexpected, report.load.mismatched = map(
        list, (info.missing, info.unexpected, info.mismatched)
    )
    if not report.load.decide(not (info.missing or info.unexpected or info.mismatched)):
        raise VerificationError(
            f"transformers reports {len(info.missing)} missing, {len(info.unexpected)} unexpected and "
            f"{len(info.mismatched)} mismatched tensors on loading the written folder",
            _NOT_PUBLISHED,
        )
    return model


def check_features(report: Report, folder: Path, front_end: FrontEnd, waveform: Tensor, tolerance: Tolerance) -> Tensor:
    """The folder's feature extractor computes what the authors' front end computes. Returns its features."""
    features = reload.extract_features(folder, waveform, front_end.sampling_rate)
    found = compare.difference(features, front_end(waveform), tolerance.features_atol)
    report.features.max_abs_diff, report.features.atol = found.max_abs_diff, tolerance.features_atol
    if not report.features.decide(found.passed):
        raise VerificationError(
            f"the feature extractor differs from the original front end by {found.max_abs_diff:.1e}, "
            f"over the tolerance of {tolerance.features_atol:.1e}",
            _NOT_PUBLISHED,
        )
    return features


def check_outputs(report: Report, actual: Activations, reference: Activations, tolerance: Tolerance) -> None:
    """Pooled output and logits of the reloaded model against the reference; the first divergent block is named."""
    names = ["embeddings", *(f"blocks.{i}" for i in range(len(reference.blocks) - 1)), "pooled", "logits"]
    pairs = list(zip((*actual.blocks, actual.pooled, actual.logits),
                     (*reference.blocks, reference.pooled, reference.logits), strict=True))  # fmt: skip
    report.blocks = [
        Block(name, (a - r).abs().max().item(), compare.relative_difference(a, r))
        for name, (a, r) in zip(names, pairs, strict=True)
    ]
    pooled = compare.difference(actual.pooled, reference.pooled, tolerance.pooled_atol)
    report.pooled.max_abs_diff, report.pooled.atol = pooled.max_abs_diff, tolerance.pooled_atol
    logits = compare.difference(actual.logits, reference.logits, tolerance.logits_atol, tolerance.logits_rtol)
    best = compare.top(reference.logits)
    report.logits.count = reference.logits.numel()
    report.logits.max_abs_diff, report.logits.mean_abs_diff = logits.max_abs_diff, logits.mean_abs_diff
    report.logits.cosine = logits.cosine
    report.logits.top5_agreement = compare.agreement(best, compare.top(actual.logits))
    report.logits.atol, report.logits.rtol = tolerance.logits_atol, tolerance.logits_rtol
    passed = {
        "pooled output": report.pooled.decide(pooled.passed),
        "logits": report.logits.decide(logits.passed),
    }
    if all(passed.values()):
        return
    report.first_divergence = compare.first_divergence(
        [a for a, _ in pairs], [r for _, r in pairs], names, BLOCK_RTOL
    ) or ("pooled" if not pooled.passed else "logits")
    what, found, atol = (
        ("pooled output", pooled, tolerance.pooled_atol)
        if not pooled.passed
        else ("logits", logits, tolerance.logits_atol)
    )
    raise VerificationError(
        f"the {what} of the converted model differs from the original by {found.max_abs_diff:.1e}, over the tolerance "
        f"of {atol:.1e}; first divergence: {report.first_divergence}",
        _NOT_PUBLISHED,
    )


def best_labels(
    report: Report, actual: Activations, reference: Activations, names: tuple[str, ...], problem_type: str
) -> None:
    """The five best labels of the clip, original beside converted, for people to recognise."""

    def scores(logits: Tensor) -> Tensor:
        return logits[0].sigmoid() if problem_type == MULTI_LABEL else logits[0].softmax(dim=0)

    original, converted = scores(reference.logits), scores(actual.logits)
    report.top5 = [Label(names[i], original[i].item(), converted[i].item()) for i in compare.top(reference.logits)]


def check_expected_logits(
    report: Report, logits: Tensor, expected: ExpectedLogits | None, mode: str, source: Source, clip: Clip
) -> None:
    """The first logits against those of the published model, where checkpoint and clip are the published ones.

    ``mode``: auto, always (the user vouches for both), never.
    """
    check = report.expected_logits
    check.reason = _why_not_expected(expected, mode, source.published, clip.published)
    if check.reason is not None or expected is None:
        return
    wanted = torch.tensor([expected.values])
    found = compare.difference(logits[:, : wanted.shape[1]].cpu(), wanted, expected.atol)
    check.max_abs_diff, check.atol = found.max_abs_diff, expected.atol
    if not check.decide(found.passed):
        raise VerificationError(
            f"the logits differ from those of the published model by {found.max_abs_diff:.1e}, over the tolerance of "
            f"{expected.atol:.1e}: checkpoint or clip is not the one they belong to",
            _NOT_PUBLISHED,
        )


def _why_not_expected(expected: ExpectedLogits | None, mode: str, source: bool, clip: bool) -> str | None:
    if expected is None:
        return "the model has no published logits"
    if mode == "never":
        return "switched off (verify.expected_logits=never)"
    if mode == "auto" and not source:
        return "not the published checkpoint"
    if mode == "auto" and not clip:
        return "not the published clip"
    return None
