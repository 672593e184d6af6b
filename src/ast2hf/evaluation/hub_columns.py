"""The columns of a data set that the datasets library loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ast2hf.errors import InputError, printable
from ast2hf.evaluation import manifests
from ast2hf.evaluation.matching import Field

LABELS = ("human_labels", *manifests.LABELS)
"""Possible names of the label column. The first is that of AudioSet on the Hub: names, while ``labels`` has mids."""


class Columns:
    """The columns with the audio and the labels, and the names of the classes if labels are numbers."""

    def __init__(self, features: Mapping[str, Any], name: str) -> None:
        from datasets import Audio, ClassLabel

        sounds = [column for column, kind in features.items() if isinstance(kind, Audio) or _is_encoded(kind)]
        if not sounds:
            raise InputError(
                f"{name} has no audio column (its columns: {', '.join(printable(c, 30) for c in features) or 'none'})",
                "use a data set that contains the audio, or data=manifest for a table of paths",
            )
        self.audio = sounds[0]
        rest = [column for column in features if column != self.audio]
        self.labels = manifests.column(rest, LABELS, "labels", name)
        kind = features[self.labels]
        inner = getattr(kind, "feature", kind)
        self.names: Sequence[str] | None = inner.names if isinstance(inner, ClassLabel) else None

    def field(self, value: Any) -> Field:
        """The labels of a row. Raises InputError."""
        if not manifests.is_field(value):
            raise InputError(
                f"column {printable(self.labels, 40)} does not hold labels", "use names, or lists of names"
            )
        if self.names is None or value is None or isinstance(value, str):
            return value  # type: ignore[no-any-return]
        return [self.names[v] for v in (value if isinstance(value, list) else [value]) if v >= 0]  # -1: unknown


def _is_encoded(kind: Any) -> bool:
    """Whether a column of this type can hold sound files, although it is not declared as audio."""
    return (isinstance(kind, dict) and kind.keys() == {"bytes", "path"}) or getattr(kind, "dtype", None) == "binary"
