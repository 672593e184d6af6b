"""The configuration as flat text, for records that leave the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ast2hf.config import Config
from ast2hf.secrets import redact


def settings(config: Config) -> dict[str, str]:
    """Every key, dotted, with its value; addresses without their secrets."""
    return {key: redact(str(value)) for key, value in _flat("", asdict(config))}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value
