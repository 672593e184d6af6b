"""What the proof has seen, as far as it came: too much for the report's JSON, enough to draw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Evidence:
    """``features`` of the clip, (frames, bins), normalised log mel; all logits of both models, (labels,)."""

    features: NDArray[np.float32]
    original: NDArray[np.float32] | None = None
    converted: NDArray[np.float32] | None = None
