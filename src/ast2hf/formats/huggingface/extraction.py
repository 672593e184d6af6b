"""The feature extractor of a folder, as its users load it. Imports less of transformers than loading a model does."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ast2hf import torchaudio_guard
from ast2hf.errors import InputError, VerificationError, printable
from ast2hf.formats.huggingface.names import PREPROCESSOR

torchaudio_guard.install()  # before transformers looks for torchaudio

from transformers import AutoFeatureExtractor  # noqa: E402
from transformers.models.audio_spectrogram_transformer import (  # noqa: E402
    feature_extraction_audio_spectrogram_transformer,  # noqa: F401  which the class above imports once it is used
)


def features(folder: Path, waveform: Tensor, sampling_rate: int) -> Tensor:
    """(1, frames, bins) of ``waveform``, (samples,) in [-1, 1]. Raises InputError where ``folder`` has no extractor.

    Raises VerificationError where it has one that does not take such a waveform.
    """
    path = folder / PREPROCESSOR
    if not path.exists():
        raise InputError(f"{printable(folder.name)} has no {PREPROCESSOR}", "save the feature extractor, too")
    return _extract(_Extractor(path.read_bytes(), folder), waveform, sampling_rate)


@dataclass(frozen=True)
class _Extractor:
    """A feature extractor is what its file says, wherever that lies."""

    content: bytes
    folder: Path = field(compare=False)


@lru_cache(maxsize=2)  # the jobs of a sweep over one data set share them
def _extract(extractor_file: _Extractor, waveform: Tensor, sampling_rate: int) -> Tensor:
    try:
        extractor = AutoFeatureExtractor.from_pretrained(extractor_file.folder, local_files_only=True)
        own = getattr(extractor, "sampling_rate", sampling_rate)
        if own == sampling_rate:
            features = extractor(waveform.numpy(), sampling_rate=sampling_rate, return_tensors="pt")["input_values"]
            assert isinstance(features, Tensor)
            return features.to(torch.float32)
    except Exception as error:  # a folder that somebody else made may say anything
        raise VerificationError(
            f"the folder's feature extractor does not work ({type(error).__name__}: {printable(error, 200)})",
            f"correct its {PREPROCESSOR}",
        ) from error
    raise VerificationError(
        f"the folder's feature extractor takes {printable(own, 40)} samples a second, and the model was trained at "
        f"{sampling_rate}",
        f"correct sampling_rate in its {PREPROCESSOR}",
    )
