"""Front ends that transformers' ASTFeatureExtractor cannot express: their features, described as data.

A model trained on such features is converted without a feature extractor, because a wrong one gives plausible
nonsense. The report and the card describe its features; users compute them with the authors' code.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DescribedFeatures:
    """Log-mel features that are described but not computed.

    ``sampling_rate`` in Hz, ``max_length`` in frames of ``frame_shift_ms``, ``features`` and ``normalisation`` in words
    for the card. ``mean`` and ``std``: the normalisation as AST writes it, (x - mean) / (2 std). ``not_expressible``:
    why ASTFeatureExtractor cannot compute them.
    """

    sampling_rate: int
    num_mel_bins: int
    max_length: int
    frame_shift_ms: float
    features: str
    normalisation: str
    mean: float
    std: float
    not_expressible: str

    def __call__(self, waveform: Tensor) -> Tensor:
        raise NotImplementedError("these features are described, not computed")

    def as_dict(self) -> dict[str, int | float | str]:
        return asdict(self)
