"""The feature extractor of a folder, as its users load it. Imports less of transformers than loading a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ast2hf import torchaudio_guard
from ast2hf.errors import InputError, VerificationError, printable
from ast2hf.formats.huggingface.names import PREPROCESSOR, PROCESSOR

torchaudio_guard.install()  # before transformers looks for torchaudio

from transformers import AutoFeatureExtractor  # noqa: E402
from transformers.models.audio_spectrogram_transformer import (  # noqa: E402
    feature_extraction_audio_spectrogram_transformer,  # noqa: F401  AutoFeatureExtractor would import it on use
)


def features(folder: Path, waveform: Tensor, sampling_rate: int) -> Tensor:
    """Features (1, frames, bins) of ``waveform``, (samples,) in [-1, 1].

    Raises InputError if ``folder`` has no extractor or perhaps two, VerificationError if it does not accept such a
    waveform.
    """
    return _extract(_file(folder), waveform, sampling_rate)


def extractor(folder: Path, sampling_rate: int) -> Callable[[Tensor], Tensor]:
    """:func:`features` for many waveforms, without caching them. Raises the same errors."""
    return partial(_apply, _load(_file(folder), sampling_rate), sampling_rate)


@dataclass(frozen=True)
class _Extractor:
    """A feature extractor, identified by the content of its file rather than by its place."""

    content: bytes
    folder: Path = field(compare=False)


def _file(folder: Path) -> _Extractor:
    path = folder / PREPROCESSOR
    if not path.exists():
        raise InputError(f"{printable(folder.name)} has no {PREPROCESSOR}", "save the feature extractor there, too")
    if (folder / PROCESSOR).exists():
        raise InputError(
            f"{printable(folder.name)} has a {PROCESSOR}, and transformers prefers a feature extractor in it to that "
            f"in {PREPROCESSOR}",
            f"remove it, after correcting {PREPROCESSOR} by it if they differ",
        )
    return _Extractor(path.read_bytes(), folder)


@lru_cache(maxsize=2)  # the jobs of a sweep over one data set share them
def _extract(extractor_file: _Extractor, waveform: Tensor, sampling_rate: int) -> Tensor:
    return _apply(_load(extractor_file, sampling_rate), sampling_rate, waveform)


def _load(extractor_file: _Extractor, sampling_rate: int) -> Any:
    with _working():
        loaded = AutoFeatureExtractor.from_pretrained(extractor_file.folder, local_files_only=True)
        own = getattr(loaded, "sampling_rate", sampling_rate)
        fits = bool(own == sampling_rate)
    if not fits:
        raise VerificationError(
            f"the folder's feature extractor expects {printable(own, 40)} Hz, but the model was trained at "
            f"{sampling_rate} Hz",
            f"correct sampling_rate in its {PREPROCESSOR}",
        )
    return loaded


def _apply(loaded: Any, sampling_rate: int, waveform: Tensor) -> Tensor:
    with _working():
        features = loaded(waveform.numpy(), sampling_rate=sampling_rate, return_tensors="pt")["input_values"]
        assert isinstance(features, Tensor)
        return features.to(torch.float32)


@contextmanager
def _working() -> Iterator[None]:
    """Turn any error inside into a VerificationError: a folder from someone else may contain anything."""
    try:
        yield
    except Exception as error:
        raise VerificationError(
            f"the folder's feature extractor does not work ({type(error).__name__}: {printable(error, 200)})",
            f"correct its {PREPROCESSOR}",
        ) from error
