"""The jobs of a sweep write to places of their own: none replaces the folder, or the model on the Hub, of another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from ast2hf.errors import ConfigurationError
from ast2hf.sweep import naming

_NAMING_MODELS = {"model", "model.name", "experiment"}
"""The keys that decide what a model is called."""


def require_own_places(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Raise ConfigurationError if jobs of a sweep would replace each other's folder or model on the Hub."""
    if not naming.axes:
        return
    raw = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(raw, dict)
    repository, folder = raw["hub"]["repo_id"], raw["output_dir"]
    if raw["hub"]["push"] and not _differs("hub.repo_id", repository):
        by_name = "'hub.repo_id=me/${model.name}' or " if set(naming.axes) <= _NAMING_MODELS else ""
        raise ConfigurationError(
            "hub.repo_id is the same for all jobs of the sweep",
            f"use one per job, with {by_name}'hub.repo_id=me/name-${{hydra:job.num}}'",
        )
    if composed.task != "convert" or not composed.overwrite:
        return
    if folder is not None and not _differs("output_dir", folder):
        raise ConfigurationError(
            "output_dir is the same for all jobs of the sweep, and with overwrite=true each would replace the last",
            "leave out output_dir, or use one per job, with 'output_dir=models/${hydra:job.num}'",
        )
    if folder is None and set(naming.axes) == {"model"} and any(o.startswith("model.name=") for o in overrides):
        raise ConfigurationError(
            "model.name is the same for all jobs of the sweep, and with overwrite=true each would replace the last",
            "leave out model.name",
        )


def _differs(key: str, value: object) -> bool:
    """Whether the setting ``key`` can differ among the jobs of the sweep."""
    used = set(re.findall(r"\$\{([^}]*)\}", str(value)))
    if used == {"model.name"}:
        return set(naming.axes) <= _NAMING_MODELS
    return bool(used) or key in naming.axes
