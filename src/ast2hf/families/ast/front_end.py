"""The authors' front end: waveform to normalised log-mel features."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ast2hf.results import FRAME_SHIFT_MS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class KaldiFbank:
    """Sizes in frames and bins, rate in Hz, ``mean`` and ``std`` of the log-mel features of the training set."""

    sampling_rate: int
    num_mel_bins: int
    max_length: int
    mean: float
    std: float

    @lru_cache(maxsize=2)  # noqa: B019  the jobs of a sweep over one data set share them, and no instance is large
    def __call__(self, waveform: Tensor) -> Tensor:
        """Features of shape (1, max_length, num_mel_bins) of ``waveform``, float32 of shape (samples,) in [-1, 1].

        The mean is removed, the Kaldi filter bank applied, and the result padded with zeros or cut to ``max_length``
        frames. It is normalised after padding, so the padding is not zero in the end: that is how the models were
        trained.
        """
        import torch.nn.functional as F

        from ast2hf import torchaudio_guard

        torchaudio_guard.install()
        from torchaudio.compliance import kaldi

        fbank = kaldi.fbank(
            (waveform - waveform.mean()).unsqueeze(0),
            htk_compat=True,
            sample_frequency=self.sampling_rate,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=self.num_mel_bins,
            dither=0.0,
            frame_shift=FRAME_SHIFT_MS,
        )
        fbank = F.pad(fbank, (0, 0, 0, max(0, self.max_length - fbank.shape[0])))[: self.max_length]
        normalised: Tensor = (fbank - self.mean) / (2 * self.std)
        return normalised.unsqueeze(0)

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)
