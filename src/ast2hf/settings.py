"""From the composed configuration to the typed one, and the names of all keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf

from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, printable

GROUPS = ("model", "device", "verify", "tracking", "hub", "paths", "experiment", "sweep", "scale")
"""Groups of choices under ``conf/``."""


_FREE = "verify.tolerances."
"""What stands under it are the names of checks, which validation knows."""


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
