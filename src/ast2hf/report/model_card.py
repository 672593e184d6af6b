"""The model card: where the model comes from, how far it was proved, and how to use it."""

from __future__ import annotations

from pathlib import PurePath

from ast2hf.config import MULTI_LABEL
from ast2hf.report.report import Report
from ast2hf.report.rows import rows


def render(report: Report, place: str, problem_type: str) -> str:
    """Markdown with the metadata that the Hub reads. ``place``: for the snippet, folder (as written) or repository."""
    from huggingface_hub import ModelCardData
    from jinja2 import Environment, PackageLoader, StrictUndefined

    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["audio-spectrogram-transformer", "ast2hf"],
    )
    template = Environment(
        loader=PackageLoader("ast2hf", "report"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    ).get_template("model_card.md.j2")
    return template.render(
        report=report,
        name=report.model,
        place=place,
        metadata=metadata.to_yaml().strip(),
        rows=list(rows(report)),
        source_name=_base(report.source["uri"]),
        clip_name=_base(report.clip or ""),
        activation="sigmoid()" if problem_type == MULTI_LABEL else "softmax(dim=0)",
    )


def _base(uri: str) -> str:
    """An address as it is; of a local path only the file's name, since the card leaves the machine."""
    return uri if "://" in uri else PurePath(uri).name
