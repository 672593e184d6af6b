"""The model card: where the model comes from, how far it was proved, and how to use it."""

from __future__ import annotations

import json

from ast2hf.render.rows import rows
from ast2hf.render.template import markdown
from ast2hf.results import FRAME_SHIFT_MS, NO_HEAD, Report

_SINGLE_LABEL = "single_label_classification"

_NOT_INSTALLED = "not installed"

_PLACEHOLDER = 'folder = "path/to/this/folder"  # or its name on the Hub'


def render(report: Report, licence: str | None = None) -> str:
    """Markdown with the metadata that the Hub reads. It names no place: a folder may be moved.

    ``licence``: of the weights, as the Hub spells it (``bsd-3-clause``), where it is known.
    """
    from huggingface_hub import ModelCardData

    has_head = report.head != NO_HEAD
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="audio-classification" if has_head else "feature-extraction",
        tags=["audio-spectrogram-transformer", "ast2hf"],
        license=licence,
    )
    return markdown("model_card.md.j2").render(
        report=report,
        placeholder=_PLACEHOLDER,
        licence=licence,
        metadata=metadata.to_yaml().strip(),
        rows=list(rows(report)),
        has_head=has_head,
        is_synthetic=str(report.source["uri"]).startswith("synthetic:"),
        activation="softmax(dim=0)" if report.problem_type == _SINGLE_LABEL else "sigmoid()",
        frame_shift=f"{report.front_end.get('frame_shift_ms', FRAME_SHIFT_MS):g}",
        features_by=features_by(report),
    )


def with_place(card: str, place: str) -> str:
    """``card`` with ``place``, a repository on the Hub, in its snippet."""
    return card.replace(_PLACEHOLDER, f"folder = {json.dumps(place, ensure_ascii=False)}", 1)


def features_by(report: Report) -> str:
    """Which code computed the features of the proof: the extractor of transformers has two ways."""
    torchaudio = report.environment.get("torchaudio", _NOT_INSTALLED)
    if torchaudio == _NOT_INSTALLED:
        return "the numpy implementation of transformers (torchaudio is not installed)"
    return f"torchaudio {torchaudio}"
