"""From what Hydra composes to the typed configuration: the schema and resolvers it knows, and the names of all keys."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, printable

GROUPS = ("model", "device", "verify", "tracking", "hub", "paths", "experiment", "sweep", "scale")
"""Groups of choices under ``conf/``."""


def register() -> None:
    """Tell Hydra of the schema and OmegaConf of the resolvers that ``conf/`` uses."""
    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("path", lambda path: str(_path(path)), replace=True)
    OmegaConf.register_new_resolver("abspath", lambda path: str(_path(path).absolute()), replace=True)
    OmegaConf.register_new_resolver("pid", os.getpid, replace=True)
    OmegaConf.register_new_resolver("launcher", _of_launcher, replace=True)
    OmegaConf.register_new_resolver("share", _share, replace=True)
    OmegaConf.register_new_resolver("sweep_suffix", _sweep_suffix, replace=True)


def _path(path: str) -> Path:
    """``path`` with ``~`` filled in. An empty one would silently become the root of what is put behind it."""
    if not path.strip():
        raise ConfigurationError("paths.outputs is empty", "give a folder, as in paths.outputs=outputs")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"paths.outputs {printable(path)} begins with no known home directory", "write the path in full"
        ) from None


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


_FREE = "verify.tolerances."
"""What stands under it are the names of checks and devices, which validation knows."""


def typed(config: DictConfig) -> Config:
    """The composed configuration as dataclasses, every interpolation resolved."""
    known = set(keys())
    for key in _flat(OmegaConf.to_container(config, resolve=False)):
        if key not in known and not key.startswith(_FREE):  # `+key=value` gets past Hydra
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
