"""The configuration as flat text for MLflow and the page, without secrets and paths of the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ast2hf import privacy
from ast2hf.secrets import redact

if TYPE_CHECKING:
    from ast2hf.config import Config


def params(config: Config, geometry: Mapping[str, int] | None = None) -> dict[str, str]:
    """Every dotted key with its value: of a local file only the name, of a URL everything but secrets.

    ``geometry``: that of the converted model, with the sizes that the configuration leaves to the checkpoint.
    """
    sizes = {f"model.{name}": size for name, size in (geometry or {}).items()}
    flat = _flat("", asdict(config))
    return {key: privacy.setting(key, redact(str(sizes.get(key) if value is None else value))) for key, value in flat}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value
