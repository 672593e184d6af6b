"""What Hydra and OmegaConf must know before they compose ``conf/``: the schema, and the resolvers used there."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, printable
from ast2hf.sweep import naming


def register() -> None:
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
        raise ConfigurationError(f"unknown user in paths.outputs {printable(path)}", "give an absolute path") from None


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
    return naming.suffix(HydraConfig.get().overrides.task) if HydraConfig.initialized() else ""
