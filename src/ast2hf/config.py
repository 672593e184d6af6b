"""The typed schema of the configuration.

The YAML files under ``conf/`` hold the values and their explanations; the dataclasses here hold the types, so that a
wrong key or type is an error before anything starts. Imports neither torch nor transformers: ``--help`` stays quick.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import get_args, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf

from ast2hf.errors import ConfigurationError, printable


@dataclass
class HubFile:
    """A file of a data set repository on the Hugging Face Hub."""

    repo: str = MISSING
    filename: str = MISSING


@dataclass
class HubRow:
    """The first row of a split of a data set on the Hugging Face Hub."""

    repo: str = MISSING
    config: str = MISSING
    split: str = MISSING
    revision: str = MISSING


@dataclass
class ExpectedLogits:
    """The first logits of the published model on its published clip, and how far from them is still equal."""

    values: list[float] = field(default_factory=list)
    atol: float = 1e-4


@dataclass
class Model:
    """One variant. A ``null`` among the sizes is read from the checkpoint's tensors."""

    name: str = MISSING
    url: str | None = None
    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_labels: int | None = None
    patch_size: int = 16
    frequency_stride: int = MISSING
    time_stride: int = MISSING
    max_length: int = MISSING
    num_mel_bins: int = 128
    sampling_rate: int = 16000
    mean: float = MISSING
    std: float = MISSING
    layer_norm_eps: float = 1e-6
    problem_type: str = MISSING
    labels: HubFile | None = None
    clip_file: HubFile | None = None
    clip_row: HubRow | None = None
    expected_logits: ExpectedLogits | None = None


@dataclass
class Device:
    name: str = MISSING


@dataclass
class Tolerance:
    """Absolute, and for the logits also relative to the reference."""

    features_atol: float = MISSING
    pooled_atol: float = MISSING
    logits_atol: float = MISSING
    logits_rtol: float = MISSING


@dataclass
class ByDtype:
    float32: Tolerance = field(default_factory=Tolerance)


@dataclass
class ByDevice:
    cpu: ByDtype = field(default_factory=ByDtype)
    cuda: ByDtype = field(default_factory=ByDtype)
    mps: ByDtype = field(default_factory=ByDtype)


@dataclass
class Verify:
    expected_logits: str = "auto"
    tolerances: ByDevice = field(default_factory=ByDevice)

    def tolerance(self, device: str, dtype: str) -> Tolerance:
        found = getattr(getattr(self.tolerances, device), dtype)
        assert isinstance(found, Tolerance)
        return found


@dataclass
class Tracking:
    enabled: bool = MISSING
    uri: str | None = None
    experiment: str = "ast2hf"
    required: bool = False
    replay: bool = False
    log_weights: bool = False


@dataclass
class Paths:
    outputs: str = MISSING
    cache: str = MISSING


@dataclass
class Config:
    model: Model = field(default_factory=Model)
    device: Device = field(default_factory=Device)
    verify: Verify = field(default_factory=Verify)
    tracking: Tracking = field(default_factory=Tracking)
    paths: Paths = field(default_factory=Paths)
    checkpoint: str | None = None
    output_dir: str = MISSING
    labels: str | None = None
    audio: str | None = None
    overwrite: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    threads: int | None = None
    debug: bool = False


def register() -> None:
    """Tell Hydra of the schema and OmegaConf of the resolvers that ``conf/`` uses."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("abspath", lambda path: str(Path(path).expanduser().absolute()), replace=True)
    OmegaConf.register_new_resolver("pid", os.getpid, replace=True)
    OmegaConf.register_new_resolver("launcher", _of_launcher, replace=True)
    OmegaConf.register_new_resolver("share", _share, replace=True)
    OmegaConf.register_new_resolver("sweep_suffix", _sweep_suffix, replace=True)


def _of_launcher(key: str) -> int | None:
    """A number that the launcher of this sweep is set to; None where Hydra runs no job, as in compose()."""
    if not HydraConfig.initialized():
        return None
    found = OmegaConf.select(HydraConfig.get().launcher, key)
    return None if found is None else int(found)


def _share(processes: int | None) -> int | None:
    """The cores of each of several processes on this machine. As joblib counts them, -1 is one process per core."""
    if processes is None:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes) if processes > 0 else 1


def _sweep_suffix() -> str:
    from ast2hf import sweep  # which itself needs the schema

    return sweep.suffix()


GROUPS = ("model", "device", "verify", "tracking", "paths", "experiment", "sweep", "scale")
"""Groups of choices under ``conf/``."""


def typed(config: DictConfig) -> Config:
    """The composed configuration as dataclasses, every interpolation resolved."""
    known = set(keys())
    for key in _flat(OmegaConf.to_container(config, resolve=False)):
        if key not in known:  # `+key=value` gets past Hydra
            raise unknown_key(key)
    typed_config = OmegaConf.to_object(config)
    assert isinstance(typed_config, Config)
    return typed_config


def unknown_key(key: str) -> ConfigurationError:
    """The error for a key that does not exist, with the nearest that does."""
    return ConfigurationError(
        f"unknown key {printable(key)}", f"{nearest(key, [*GROUPS, *keys()])}see --cfg job for all keys"
    )


def nearest(name: str, names: list[str]) -> str:
    """A question that names what was probably meant, or nothing."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}? " if found else ""


def keys(schema: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the configuration, dotted."""
    hints = get_type_hints(schema)
    for f in fields(schema):
        yield prefix + f.name
        for kind in (hints[f.name], *get_args(hints[f.name])):
            if isinstance(kind, type) and is_dataclass(kind):
                yield from keys(kind, f"{prefix}{f.name}.")


def _flat(value: object, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{prefix}{key}"
            yield from _flat(inner, f"{prefix}{key}.")


MULTI_LABEL = "multi_label_classification"
SINGLE_LABEL = "single_label_classification"

CHOICES = {
    "model.problem_type": (MULTI_LABEL, SINGLE_LABEL),
    "verify.expected_logits": ("auto", "always", "never"),
}


def validate(config: Config) -> None:
    """Raise ConfigurationError for values of the right type that make no sense."""
    values = {"model.problem_type": config.model.problem_type, "verify.expected_logits": config.verify.expected_logits}
    for key, value in values.items():
        if value not in CHOICES[key]:
            raise ConfigurationError(f"{key} is {printable(value, 60)}", f"choose one of: {', '.join(CHOICES[key])}")
    positive = {"model.std": config.model.std, "model.layer_norm_eps": config.model.layer_norm_eps}
    not_negative = {}
    for device in fields(config.verify.tolerances):
        tolerance = config.verify.tolerance(device.name, "float32")
        key = f"verify.tolerances.{device.name}.float32"
        positive[f"{key}.features_atol"] = tolerance.features_atol
        positive[f"{key}.pooled_atol"] = tolerance.pooled_atol
        positive[f"{key}.logits_atol"] = tolerance.logits_atol
        not_negative[f"{key}.logits_rtol"] = tolerance.logits_rtol
    if config.model.expected_logits is not None:
        positive["model.expected_logits.atol"] = config.model.expected_logits.atol
    if config.threads is not None:
        positive["threads"] = config.threads
    for key, number in positive.items():
        if not (isfinite(number) and number > 0):
            raise ConfigurationError(f"{key} is {number}", "give a positive number")
    for key, number in not_negative.items():
        if not (isfinite(number) and number >= 0):
            raise ConfigurationError(f"{key} is {number}", "give a number that is not negative")
    if not isfinite(config.model.mean):
        raise ConfigurationError(f"model.mean is {config.model.mean}", "give a number")
    name = config.model.name
    if not name or name != printable(name) or "/" in name or name in (".", ".."):
        raise ConfigurationError(f"model.name is {printable(repr(name))}", "give a name that can be that of a folder")
