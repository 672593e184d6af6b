"""The configuration as flat text, for records that leave the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ast2hf.checkpoint.download import public
from ast2hf.config import Config

_PUBLISHED = "model.url"
"""Its query belongs to it; it is written in the variant's file, where nobody puts a secret."""


def settings(config: Config) -> dict[str, str]:
    """Every key, dotted, with its value. Addresses come without user, password and query, which may hold secrets."""
    return {key: str(value) if key == _PUBLISHED else _shown(value) for key, value in _flat("", asdict(config))}


def _shown(value: Any) -> str:
    text = str(value)
    if "://" not in text or not set("@?#") & set(text):
        return text
    try:
        return public(text)
    except ValueError:
        return "(no valid address)"


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value
