"""The written folder as its users load it: ``from_pretrained``, and nothing but."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import ASTForAudioClassification, AutoFeatureExtractor, AutoModelForAudioClassification
from transformers.utils import logging

from ast2hf.errors import VerificationError, printable
from ast2hf.huggingface.folder import PREPROCESSOR
from ast2hf.reference.model import Activations

logging.disable_progress_bar()
logging.set_verbosity_error()


@dataclass(frozen=True)
class LoadingInfo:
    """Names of tensors, as transformers reports them; a missing one it has filled at random."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]


def load_model(folder: Path, device: torch.device) -> tuple[ASTForAudioClassification, LoadingInfo]:
    """The model on ``device`` in float32, and what transformers says of its loading."""
    try:
        model, info = AutoModelForAudioClassification.from_pretrained(
            folder, output_loading_info=True, local_files_only=True, dtype=torch.float32
        )
    except Exception as error:  # whatever from_pretrained raises, the folder is not one that users can load
        raise VerificationError(
            f"transformers cannot load the written folder ({printable(type(error).__name__)}: {printable(error)})",
            "this is a defect of the conversion: please report it",
        ) from error
    names = {key: tuple(sorted(str(name) for name in value)) for key, value in info.items()}
    loading = LoadingInfo(names["missing_keys"], names["unexpected_keys"], names["mismatched_keys"])
    return model.to(device).eval(), loading


def extract_features(folder: Path, waveform: Tensor, sampling_rate: int) -> Tensor:
    """(1, max_length, num_mel_bins) from the folder's feature extractor."""
    return _extract(_Extractor((folder / PREPROCESSOR).read_bytes(), folder), waveform, sampling_rate)


@dataclass(frozen=True)
class _Extractor:
    """A feature extractor is what its file says, wherever that lies."""

    content: bytes
    folder: Path = field(compare=False)


@lru_cache(maxsize=2)  # the jobs of a sweep over one data set share them
def _extract(extractor_file: _Extractor, waveform: Tensor, sampling_rate: int) -> Tensor:
    extractor = AutoFeatureExtractor.from_pretrained(extractor_file.folder, local_files_only=True)
    features = extractor(waveform.numpy(), sampling_rate=sampling_rate, return_tensors="pt")["input_values"]
    assert isinstance(features, Tensor)
    return features.to(torch.float32)


def activations(model: ASTForAudioClassification, features: Tensor) -> Activations:
    """What ``model`` computes, in the terms of the reference."""
    pooled: list[Tensor] = []
    # The input of the head is the pooled output, whatever the version of transformers calls it.
    hook = model.classifier.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    try:
        outputs = model(features, output_hidden_states=True)
    finally:
        hook.remove()
    return Activations(tuple(outputs.hidden_states), pooled[0], outputs.logits)
