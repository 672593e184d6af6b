"""config.json and preprocessor_config.json as plain data.

Written out key by key, not taken from a transformers class, so that the bytes do not depend on the installed version;
4.57 and 5.23 read the same from them (tests/compat).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ast2hf.geometry import Geometry
from ast2hf.reference.front_end import FrontEnd

MODEL_CLASS = "ASTForAudioClassification"


def config(geometry: Geometry, labels: Sequence[str], problem_type: str, layer_norm_eps: float) -> dict[str, Any]:
    """``config.json``. ``layer_norm_eps`` applies to every norm; the class default of 1e-12 is not the original's."""
    return {
        "architectures": [MODEL_CLASS],
        "model_type": "audio-spectrogram-transformer",
        "dtype": "float32",
        "hidden_size": geometry.hidden_size,
        "num_hidden_layers": geometry.num_hidden_layers,
        "num_attention_heads": geometry.num_attention_heads,
        "intermediate_size": geometry.intermediate_size,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": layer_norm_eps,
        "patch_size": geometry.patch_size,
        "qkv_bias": True,
        "frequency_stride": geometry.frequency_stride,
        "time_stride": geometry.time_stride,
        "max_length": geometry.max_length,
        "num_mel_bins": geometry.num_mel_bins,
        "problem_type": problem_type,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def preprocessor_config(front_end: FrontEnd) -> dict[str, Any]:
    """``preprocessor_config.json``."""
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": front_end.sampling_rate,
        "num_mel_bins": front_end.num_mel_bins,
        "max_length": front_end.max_length,
        "do_normalize": True,
        "mean": front_end.mean,
        "std": front_end.std,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
