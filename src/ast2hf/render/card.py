"""The model card: where the model comes from, how far it was proved, and how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from ast2hf.render.rows import rows
from ast2hf.render.template import markdown
from ast2hf.results import FRAME_SHIFT_MS, MEAN, NO_HEAD, NOT_EXPRESSIBLE, Report

_SINGLE_LABEL = "single_label_classification"

_BEST = 5
"""Labels that the snippet shows where the report has none, because no clip was heard."""

_PLACE = re.compile(r"(.+\.)([0-9]{1,4})\.weight")
"""A layer of ``nn.Sequential``: the name of the whole, and its place in it."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")

_NOT_INSTALLED = "not installed"

_PLACEHOLDER = 'folder = "path/to/this/folder"  # or its name on the Hub'


def render(report: Report, licence: str | None = None) -> str:
    """Markdown with the metadata that the Hub reads. It names no place: a folder may be moved.

    ``licence``: of the weights, as the Hub spells it (``bsd-3-clause``), where it is known.
    """
    from huggingface_hub import ModelCardData

    has_head = report.head != NO_HEAD
    has_extractor = NOT_EXPRESSIBLE not in report.front_end
    task = "audio-classification" if has_head else "feature-extraction"
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag=task if has_extractor else None,  # by which the Hub offers a pipeline
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
        has_extractor=has_extractor,
        pooled_by_hand=not has_head and report.pooling == MEAN,
        best=len(report.top5) or min(_BEST, report.geometry.get("num_labels", _BEST)),
        head_layers=head_layers(report.head_apart),
        is_synthetic=str(report.source["uri"]).startswith("synthetic:"),
        activation="softmax(dim=0)" if report.problem_type == _SINGLE_LABEL else "sigmoid()",
        max_length=report.front_end["max_length"],
        frame_shift=f"{report.front_end.get('frame_shift_ms', FRAME_SHIFT_MS):g}",
        features_by=features_by(report),
    )


def head_layers(shapes: Mapping[str, Sequence[int]]) -> tuple[str, str] | None:
    """What the names of a layer norm and of the linear layer behind it begin with, where a head is these two.

    None for any other head: then the checkpoint does not say what lies between its tensors. At most one module without
    tensors may, which is a dropout.
    """
    weights = [name for name in shapes if name.endswith(".weight")]
    if len(weights) != 2 or len(shapes) != 4:
        return None
    if not all(map(_PLAIN_NAME.fullmatch, shapes)):
        return None  # it would stand in the code of the card
    norm, linear = sorted(weights, key=lambda name: len(shapes[name]))
    if (len(shapes[norm]), len(shapes[linear])) != (1, 2) or shapes[norm][0] != shapes[linear][1]:
        return None
    first, second = _PLACE.fullmatch(norm), _PLACE.fullmatch(linear)
    if first is None or second is None or first[1] != second[1] or int(second[2]) - int(first[2]) not in (1, 2):
        return None
    prefixes = norm.removesuffix("weight"), linear.removesuffix("weight")
    return prefixes if all(prefix + "bias" in shapes for prefix in prefixes) else None


def with_place(card: str, place: str) -> str:
    """``card`` with ``place``, a repository on the Hub, in its snippet."""
    return card.replace(_PLACEHOLDER, f"folder = {json.dumps(place, ensure_ascii=False)}", 1)


def features_by(report: Report) -> str:
    """Which code computed the features of the proof: the extractor of transformers has two ways."""
    torchaudio = report.environment.get("torchaudio", _NOT_INSTALLED)
    if torchaudio == _NOT_INSTALLED:
        return "the numpy implementation of transformers (torchaudio is not installed)"
    return f"torchaudio {torchaudio}"
