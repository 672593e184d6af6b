"""The columns of a data set that the datasets library loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ast2hf.errors import InputError, printable
from ast2hf.evaluation import manifests
from ast2hf.evaluation.matching import Field

LABELS = ("human_labels", *manifests.LABELS)
"""What the column of labels may be called. The first is AudioSet's on the Hub: names, beside mids in ``labels``."""


class Columns:
    """Which columns hold the sounds and the labels, and the names of the classes that the latter number."""

    def __init__(self, features: Mapping[str, Any], name: str) -> None:
        from datasets import Audio, ClassLabel

        sounds = [column for column, kind in features.items() if isinstance(kind, Audio) or _is_encoded(kind)]
        if not sounds:
            raise InputError(
                f"{name} has no column of sounds among: {', '.join(printable(c, 30) for c in features) or 'none'}",
                "give a data set with the sounds in it; a table of paths is read by data=manifest",
            )
        self.audio = sounds[0]
        rest = [column for column in features if column != self.audio]
        self.labels = manifests.column(rest, LABELS, "labels", name)
        kind = features[self.labels]
        inner = getattr(kind, "feature", kind)
        self.names: Sequence[str] | None = inner.names if isinstance(inner, ClassLabel) else None

    def field(self, value: Any) -> Field:
        """What a row says of its clip. Raises InputError."""
        if not manifests.is_field(value):
            raise InputError(f"column {printable(self.labels, 40)} has no labels", "give names, or lists of them")
        if self.names is None or value is None or isinstance(value, str):
            return value  # type: ignore[no-any-return]
        return [self.names[v] for v in (value if isinstance(value, list) else [value]) if v >= 0]  # -1: unknown


def _is_encoded(kind: Any) -> bool:
    """Whether a column of this type can hold sound files, though it is not said to."""
    return (isinstance(kind, dict) and kind.keys() == {"bytes", "path"}) or getattr(kind, "dtype", None) == "binary"
