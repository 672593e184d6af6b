"""Comparisons of tensors. Pure: tolerances come in as data, and NaN never passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from ast2hf.errors import VerificationError


@dataclass(frozen=True)
class Difference:
    """Of two tensors of one shape: absolute differences, their largest excess over the tolerance, and the cosine."""

    max_abs_diff: float
    mean_abs_diff: float
    excess: float
    cosine: float

    @property
    def passed(self) -> bool:
        return isfinite(self.max_abs_diff) and self.excess <= 0


def difference(actual: Tensor, reference: Tensor, atol: float, rtol: float = 0.0) -> Difference:
    """Passed if |actual - reference| <= atol + rtol * |reference| everywhere. Other shapes are a VerificationError."""
    if actual.shape != reference.shape:
        raise VerificationError(
            f"the shapes {list(actual.shape)} (converted) and {list(reference.shape)} (original) differ",
            "nothing was published",
        )
    a, r = actual.double().flatten().cpu(), reference.double().flatten().cpu()
    absolute = (a - r).abs()
    excess = (absolute - (atol + rtol * r.abs())).max().item()
    cosine = F.cosine_similarity(a, r, dim=0).item()
    return Difference(absolute.max().item(), absolute.mean().item(), excess, cosine)


def relative_difference(actual: Tensor, reference: Tensor) -> float:
    """The norm of the difference over the norm of the reference; infinite where it is not a number."""
    value = ((actual - reference).norm() / reference.norm()).item()
    return value if isfinite(value) else float("inf")


def first_divergence(
    actual: Sequence[Tensor], reference: Sequence[Tensor], names: Sequence[str], rtol: float
) -> str | None:
    """The name of the first pair whose relative difference exceeds ``rtol``."""
    for name, a, r in zip(names, actual, reference, strict=True):
        if not relative_difference(a, r) <= rtol:
            return name
    return None


def bits_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two float32 tensors are the same bit for bit (so that NaN equals itself and 0 does not equal -0)."""
    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


def top(logits: Tensor, count: int = 5) -> list[int]:
    """The classes of the largest ``logits`` of shape (1, labels), best first."""
    return [int(i) for i in logits[0].topk(min(count, logits.shape[1])).indices]


def agreement(a: Sequence[int], b: Sequence[int]) -> float:
    """The share of ``a`` that is also in ``b``, 0 to 1."""
    return len(set(a) & set(b)) / len(a)
