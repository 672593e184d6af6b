"""Opens the data set of the proof by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ast2hf.evaluation import hub_data, layouts, manifests
from ast2hf.evaluation.matching import Matcher

if TYPE_CHECKING:
    from ast2hf.config import Data
    from ast2hf.evaluation.source import Source

KINDS: Mapping[str, Callable[[Data, Matcher], Source]] = {
    "manifest": manifests.source,
    "huggingface": hub_data.source,
    "esc50": layouts.esc50,
    "speech_commands": layouts.speech_commands,
    "audioset": layouts.audioset,
}
"""By ``data.kind``."""


def open_source(data: Data, labels: tuple[str, ...], label_file: str | None = None) -> Source:
    """The data set that ``data`` names, with its labels matched to ``labels``, those of the model by index.

    ``label_file``: a local file that ``labels`` come from; if it has their mids, a data set may use those.

    The clips are not opened: one that is missing or broken shows when it is decoded. Raises InputError, DownloadError.
    """
    assert data.kind is not None
    return KINDS[data.kind](data, Matcher(labels, data.labels, label_file))
