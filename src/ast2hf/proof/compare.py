"""Comparisons of tensors. Pure: tolerances come in as data, and NaN never passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from ast2hf.errors import VerificationError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """Between tensors of one shape: absolute differences, their largest excess over the tolerance, and the cosine."""

    max_abs_diff: float
    mean_abs_diff: float
    excess: float
    cosine: float
    tolerance_used: float
    """The largest share of its bound that any value differs by; at most 1 if passed, NaN and infinity as they come."""

    @property
    def passed(self) -> bool:
        return isfinite(self.max_abs_diff) and self.excess <= 0


def difference(actual: Tensor, reference: Tensor, atol: float, rtol: float = 0.0) -> Difference:
    """Passed if |actual - reference| <= atol + rtol * |reference| everywhere.

    Raises VerificationError if shapes differ.
    """
    if actual.shape != reference.shape:
        raise VerificationError(
            f"the shapes {list(actual.shape)} (converted) and {list(reference.shape)} (original) differ",
            "check the strides, lengths and number of classes",
        )
    a, r = actual.double().flatten().cpu(), reference.double().flatten().cpu()
    absolute = (a - r).abs()
    bound = atol + rtol * r.abs()
    excess = (absolute - bound).max().item()
    used = (absolute / bound).masked_fill(absolute == 0, 0.0).max().item()
    cosine = (a @ r / (a.norm() * r.norm())).item()
    return Difference(absolute.max().item(), absolute.mean().item(), excess, cosine, used)


def relative_difference(actual: Tensor, reference: Tensor) -> float:
    """The norm of the difference over the norm of the reference; infinite if that is NaN."""
    value = ((actual - reference).norm() / reference.norm()).item()
    return value if isfinite(value) else float("inf")


def bitwise_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two float32 tensors are the same bit for bit (so that NaN equals itself and 0 does not equal -0)."""
    import torch

    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


def top(logits: Tensor, count: int = 5) -> list[int]:
    """The classes of the largest ``logits`` of shape (1, labels), best first."""
    return [int(i) for i in logits[0].topk(min(count, logits.shape[1])).indices]


def agreement(a: Sequence[int], b: Sequence[int]) -> float:
    """The share of ``a`` that is also in ``b``, 0 to 1."""
    return len(set(a) & set(b)) / len(a)


def is_close_to(actual: Tensor, exact: Tensor) -> bool:
    """Like :func:`is_rounding_of`, for an ``exact`` computed from rounded values: within two units."""
    return is_rounding_of(actual, exact, units=2.0)


def is_rounding_of(actual: Tensor, exact: Tensor, units: float = 0.5) -> bool:
    """Whether ``actual``, of any dtype, is within half a unit in the last place of ``exact``, in float64.

    The slack of one in a million is for ``exact``, which is itself rounded. ``units``: a bound in place of a half.
    """
    import torch

    if actual.shape != exact.shape:
        return False
    nearest = exact.to(actual.dtype)
    infinity = torch.full_like(nearest, float("inf"))
    spacing = (torch.nextafter(nearest.abs(), infinity) - nearest.abs()).double()
    return bool(((actual.double() - exact).abs() <= spacing * (units + 1e-6)).all())
