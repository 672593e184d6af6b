"""The model card: the source of the model, its proof, and how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ast2hf.errors import printable
from ast2hf.render import data_set
from ast2hf.render.rows import rows
from ast2hf.render.template import markdown
from ast2hf.results import ACCURACY_TOP5, AUC, FRAME_SHIFT_MS, MAP, MEAN, NO_HEAD, NOT_EXPRESSIBLE, Evaluation, Report

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_SINGLE_LABEL = "single_label_classification"

_CLASSIFICATION = "audio-classification"

_BEST = 5
"""Labels that the snippet shows if the report has none, because no clip was used."""

_PLACE = re.compile(r"(.+\.)([0-9]{1,4})\.weight")
"""A layer of ``nn.Sequential``: the name of the container, and the layer's place in it."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")

_METRIC_TYPES = {MAP: "mean_average_precision", AUC: "roc_auc", ACCURACY_TOP5: "top_5_accuracy"}
"""The Hub's names, where they differ from the key of the metric."""

_PROOF = "float32"
"""The dtype of figures for the metadata; others are a screening."""

_NOT_INSTALLED = "not installed"

_PLACEHOLDER = 'folder = "path/to/this/folder"  # or its name on the Hub'


def render(report: Report, licence: str | None = None, citation: str | None = None) -> str:
    """Markdown with the metadata that the Hub reads. It names no location, since a folder may be moved.

    ``licence``: of the weights, as the Hub spells it (``bsd-3-clause``), if known. ``citation``: of the original's
    paper, as BibTeX. The original is not a repository on the Hub, so there is no ``base_model``; the text has its URL
    and SHA-256.
    """
    from huggingface_hub import ModelCardData

    has_head = report.head != NO_HEAD
    has_extractor = NOT_EXPRESSIBLE not in report.front_end
    task = _CLASSIFICATION if has_head else "feature-extraction"
    evaluation = report.evaluation
    measured = evaluation if evaluation and evaluation.dtype == _PROOF else None
    metadata = ModelCardData(
        model_name=printable(report.model) if measured else None,
        eval_results=list(_results(measured)) if measured else None,
        library_name="transformers",
        pipeline_tag=task if has_extractor else None,  # the Hub uses it to offer a pipeline
        tags=["audio-spectrogram-transformer", "ast2hf"],
        license=licence,
    )
    return markdown("model_card.md.j2").render(
        report=report,
        placeholder=_PLACEHOLDER,
        licence=licence,
        citation=citation,
        metadata=metadata.to_yaml().strip(),
        rows=list(rows(report)),
        data_set=_data_set(evaluation) if evaluation else None,
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


def _results(evaluation: Evaluation) -> Iterator[EvalResult]:
    """The figures of the converted model for the metadata's ``model-index``, which the Hub shows beside the card.

    Of a data set it shows only the name, so the name includes the number of clips.
    """
    from huggingface_hub import EvalResult

    name = printable(evaluation.name)
    for metric, figure in evaluation.metrics.items():
        if figure.converted is not None:
            yield EvalResult(
                task_type=_CLASSIFICATION,
                dataset_name=f"{name} ({evaluation.clips:,} clips)",
                dataset_type=name,
                dataset_args={"clips": evaluation.clips},
                metric_type=_METRIC_TYPES.get(metric, metric),
                metric_name=data_set.title(metric),
                metric_value=figure.converted,
            )


def _data_set(evaluation: Evaluation) -> dict[str, Any]:
    """The figures over the data set for the text."""
    return {
        "clips": data_set.clips(evaluation),
        "dtype": evaluation.dtype,
        "skipped": len(evaluation.skipped),
        "figures": list(data_set.rows(evaluation)),
        "summary": list(data_set.summary(evaluation)),
        "remarks": list(data_set.remarks(evaluation)),
    }


def head_layers(shapes: Mapping[str, Sequence[int]]) -> tuple[str, str] | None:
    """The prefixes of a layer norm and the linear layer after it, if these two make up the head.

    None for any other head, since a checkpoint does not record what lies between its tensors. Between these two there
    may be at most one module without tensors, a dropout.
    """
    weights = [name for name in shapes if name.endswith(".weight")]
    if len(weights) != 2 or len(shapes) != 4:
        return None
    if not all(map(_PLAIN_NAME.fullmatch, shapes)):
        return None  # it would become part of the card's code
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
    """Which code computed the features of the proof: transformers' extractor has two implementations."""
    torchaudio = report.environment.get("torchaudio", _NOT_INSTALLED)
    if torchaudio == _NOT_INSTALLED:
        return "the numpy implementation of transformers (torchaudio is not installed)"
    return f"torchaudio {torchaudio}"
