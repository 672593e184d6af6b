"""config.json and preprocessor_config.json as plain data.

Written out key by key, not taken from a transformers class, so that the bytes do not depend on the installed version;
4.57 and 5.23 read the same from them (tests/compat).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ast2hf.errors import InputError, printable
from ast2hf.families.base import CLASSIFICATION
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface.names import CONFIG
from ast2hf.results import NO_HEAD

ARCHITECTURES = {CLASSIFICATION: "ASTForAudioClassification", NO_HEAD: "ASTModel"}
"""By ``model.head``, the class of transformers that the folder is of."""


def config(spec: Spec) -> dict[str, Any]:
    """``config.json``. ``layer_norm_eps`` applies to every norm; the class's default of 1e-12 is not the original's."""
    geometry = spec.geometry
    value = {
        "architectures": [ARCHITECTURES[spec.head]],
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
        "layer_norm_eps": spec.layer_norm_eps,
        "patch_size": geometry.patch_size,
        "qkv_bias": True,
        "frequency_stride": geometry.frequency_stride,
        "time_stride": geometry.time_stride,
        "max_length": geometry.max_length,
        "num_mel_bins": geometry.num_mel_bins,
    }
    if spec.labels is not None:
        value["problem_type"] = spec.problem_type
        value["id2label"] = {str(i): label for i, label in enumerate(spec.labels)}
        value["label2id"] = {label: i for i, label in enumerate(spec.labels)}
    return value


def preprocessor_config(spec: Spec) -> dict[str, Any]:
    """``preprocessor_config.json``."""
    front_end = spec.front_end.as_dict()
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": front_end["sampling_rate"],
        "num_mel_bins": front_end["num_mel_bins"],
        "max_length": front_end["max_length"],
        "do_normalize": True,
        "mean": front_end["mean"],
        "std": front_end["std"],
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def read_head(folder: Path) -> str:
    """Which head the model of ``folder`` has, as in ``model.head``. Raises InputError where it holds another model."""
    architectures = _read(folder).get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else "unknown model"
    by_class = {name: head for head, name in ARCHITECTURES.items()}
    if architecture not in by_class:
        raise InputError(
            f"{printable(folder.name)} holds a {printable(architecture)}, not an Audio Spectrogram Transformer",
            f"give a folder of one of: {', '.join(by_class)}",
        )
    return by_class[architecture]


def read_labels(folder: Path) -> tuple[str, ...] | None:
    """The names of the classes, in order; None where the model has none. Raises InputError."""
    names = _read(folder).get("id2label")
    if not isinstance(names, dict) or not all(str(i) in names for i in range(len(names))):
        return None
    return tuple(str(names[str(i)]) for i in range(len(names)))


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = error
    if not isinstance(found, dict):
        raise InputError(
            f"{printable(folder.name)} has no readable {CONFIG} ({printable(found, 100)})",
            "give the folder or the Hub id of a model as folder=…",
        )
    return found
