"""config.json and preprocessor_config.json as plain data.

Written key by key instead of by a transformers class, so that the bytes do not depend on the installed version;
4.57 and 5.23 read them alike (tests/compat).
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ast2hf.config import MULTI_LABEL
from ast2hf.errors import InputError, printable
from ast2hf.families.base import CLASSIFICATION
from ast2hf.families.geometry import Geometry
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface.names import CONFIG, PREPROCESSOR
from ast2hf.local_files import read_file
from ast2hf.results import NO_HEAD

ARCHITECTURES = {CLASSIFICATION: "ASTForAudioClassification", NO_HEAD: "ASTModel"}
"""The transformers class of the folder, by ``model.head``."""


_DEFAULT_LABELS = 2
_DEFAULTS = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "patch_size": 16,
    "frequency_stride": 10, "time_stride": 10, "max_length": 1024, "num_mel_bins": 128,
}  # fmt: skip
"""Defaults of transformers' ASTConfig, which may be left out of the file."""

_NORMALISATION = {"mean": -4.2677393, "std": 4.5689974}
"""Of transformers' ASTFeatureExtractor, likewise."""

_MAX_JSON = 64 << 20
"""Bytes of a JSON file in a folder. A configuration with 527 classes has 40 KB."""


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
    """The head of the model in ``folder``, as in ``model.head``. Raises InputError if it holds another model."""
    architectures = read(folder).get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else "unknown model"
    by_class = {name: head for head, name in ARCHITECTURES.items()}
    if architecture not in by_class:
        raise InputError(
            f"{printable(folder.name)} is not an Audio Spectrogram Transformer ({printable(architecture)})",
            f"use a folder of one of: {', '.join(by_class)}",
        )
    return by_class[architecture]


def read_labels(folder: Path) -> tuple[str, ...] | None:
    """The names of the classes, in order; None if the model has none. Raises InputError.

    The keys are read as transformers reads them, so "00" is class 0.
    """
    names = read(folder).get("id2label")
    if names is None:
        return None
    try:
        by_class = {int(index): str(name) for index, name in names.items()}
    except (AttributeError, ValueError):
        by_class = {}
    if not by_class or sorted(by_class) != list(range(len(names))):
        raise InputError(
            f"id2label in {CONFIG} of {printable(folder.name)} does not name the classes 0, 1, 2, … in order",
            'correct it: {"0": "…", "1": "…", …}',
        )
    return tuple(by_class[index] for index in range(len(names)))


def read_geometry(folder: Path) -> Geometry:
    """The sizes of the model in ``folder``. Raises InputError, ConfigurationError."""
    value = read(folder)
    keys = [field.name for field in fields(Geometry) if field.name not in ("num_labels", "mlp_size")]
    found: dict[str, Any] = {key: value.get(key, _DEFAULTS.get(key)) for key in [*keys, "intermediate_size"]}
    for key, size in found.items():
        if type(size) is not int:
            raise InputError(
                f"{key} in {CONFIG} of {printable(folder.name)} is not a whole number ({printable(size, 40)})",
                "use the folder as save_pretrained() wrote it",
            )
    labels = None
    if read_head(folder) == CLASSIFICATION:
        labels = len(value["id2label"]) if isinstance(value.get("id2label"), dict) else _DEFAULT_LABELS
    return Geometry(**{key: found[key] for key in keys}, num_labels=labels, mlp_size=found["intermediate_size"])


def read_epsilon(folder: Path) -> float:
    """``layer_norm_eps`` of the model in ``folder``."""
    value = read(folder).get("layer_norm_eps", 1e-12)
    return float(value) if isinstance(value, int | float) else 1e-12


def read_problem_type(folder: Path) -> str:
    """``problem_type`` of the model in ``folder``; multi-label if it has none."""
    return str(read(folder).get("problem_type") or MULTI_LABEL)


def read_normalisation(folder: Path) -> tuple[float, float] | None:
    """Mean and standard deviation that the extractor of ``folder`` normalises with; None where it does not say."""
    if not (folder / PREPROCESSOR).exists():
        return None
    value = read(folder, PREPROCESSOR)
    mean, std = (value.get(key, default) for key, default in _NORMALISATION.items())
    return (float(mean), float(std)) if isinstance(mean, int | float) and isinstance(std, int | float) else None


def read(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """The JSON object in a file of ``folder``. Raises InputError if there is none."""
    try:
        found = json.loads(read_file(folder / name, _MAX_JSON))
    except (OSError, ValueError) as error:
        found = error
    if not isinstance(found, dict):
        raise InputError(
            f"{printable(folder.name)} has no readable {name} ({printable(found, 100)})",
            "set folder=… to a model folder or Hub id",
        )
    return found
