"""Turn the composed configuration into the typed one, and list the names of all keys."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from ast2hf.config import Config, Tracking
from ast2hf.errors import ConfigurationError, printable

GROUPS = (
    "model",
    "stats",
    "loss",
    "device",
    "verify",
    "data",
    "tracking",
    "hub",
    "paths",
    "experiment",
    "sweep",
    "scale",
)
"""Groups of choices under ``conf/``."""

_AUTHORS_NAMES = {
    "fstride": "model.frequency_stride",
    "tstride": "model.time_stride",
    "audio_length": "model.max_length",
    "dataset_mean": "model.mean",
    "dataset_std": "model.std",
    "n_class": "model.num_labels",
    "gpu": "device=cuda",
}
"""Our keys for the options of the authors' training script."""


GPUS = 16
"""Of one machine: the choices ``device=cuda:0`` to ``cuda:15``. No file has a name with a colon in it everywhere."""


def register() -> None:
    """Register the schema with Hydra, and the two resolvers that ``conf/`` uses with OmegaConf. Idempotent."""
    ConfigStore.instance().store(name="schema", node=Config)
    for device in (f"cuda:{index}" for index in range(GPUS)):
        ConfigStore.instance().store(group="device", name=device, node={"name": device})
    OmegaConf.register_new_resolver("pid", os.getpid, replace=True)
    # Hydra passes cached results on to the processes of a sweep, whose working directory may differ.
    OmegaConf.register_new_resolver("path", lambda p: str(_outputs(p).absolute()), use_cache=True, replace=True)


def _outputs(path: str) -> Path:
    """``path`` with ``~`` filled in. An empty one would silently become the working directory."""
    if not path.strip():
        raise ConfigurationError("paths.outputs is empty", "set it to a folder, as in paths.outputs=outputs")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"unknown user in paths.outputs {printable(path)}", "use an absolute path") from None


_FREE = "verify.tolerances."
"""The keys below it are names of checks, which the validation checks."""


def typed(config: DictConfig) -> Config:
    """The composed configuration as dataclasses, with every interpolation resolved."""
    known = set(keys())
    for key in _flat(OmegaConf.to_container(config, resolve=False)):
        if key not in known and not key.startswith(_FREE):  # `+key=value` gets past Hydra
            raise unknown_key(key)
    typed_config = OmegaConf.to_object(config)
    assert isinstance(typed_config, Config)
    return typed_config


def resolve(config: Config, suffix: str = "", launcher: Mapping[str, Any] | None = None) -> None:
    """Fill in the values that are null in ``config`` because they follow from others.

    ``suffix``: distinguishes this job from others of its sweep with the same model; ``launcher``: the settings of
    Hydra's launcher. Raises ConfigurationError if ``paths.outputs`` is invalid.
    """
    outputs = _outputs(config.paths.outputs)
    if config.output_dir is None:
        config.output_dir = str(outputs / "models" / (config.model.name + suffix))
    fill_tracking_uri(config.tracking, config.paths.outputs)
    if config.threads is None:
        config.threads = _threads(launcher or {})


def fill_tracking_uri(tracking: Tracking, outputs: str) -> None:
    """Set a null tracking URI to a database file in ``outputs``."""
    if tracking.enabled and tracking.uri is None:
        tracking.uri = f"sqlite:///{_outputs(outputs).absolute()}/mlflow.db"


def _threads(launcher: Mapping[str, Any]) -> int | None:
    """The cores of one job: with joblib its share of this machine's, with submitit and Ray the number it requests."""
    if processes := launcher.get("n_jobs"):  # -1 is one process per core, as joblib counts
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // processes) if processes > 0 else 1
    requested = launcher.get("cpus_per_task") or launcher.get("ray", {}).get("remote", {}).get("num_cpus")
    return None if requested is None else max(1, int(requested))


def unknown_key(key: str) -> ConfigurationError:
    """The error for an unknown key, with the most similar known one."""
    here = _AUTHORS_NAMES.get(key.rpartition(".")[2])
    question = f"did you mean {here}? " if here else nearest(key, [*GROUPS, *keys()])
    return ConfigurationError(f"unknown key {printable(key)}", f"{question}see --cfg job for all keys")


def nearest(name: str, names: list[str]) -> str:
    """A question that suggests the name that was probably meant, or nothing."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}? " if found else ""


def keys(schema: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the configuration, dotted; ``CHECK`` stands for the name of any check."""
    hints = get_type_hints(schema)
    for f in fields(schema):
        yield prefix + f.name
        below = "CHECK." if get_origin(hints[f.name]) is dict else ""
        for kind in (hints[f.name], *get_args(hints[f.name])):
            if isinstance(kind, type) and is_dataclass(kind):
                yield from keys(kind, f"{prefix}{f.name}.{below}")


def _flat(value: object, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{prefix}{key}"
            yield from _flat(inner, f"{prefix}{key}.")
