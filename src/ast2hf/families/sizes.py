"""The geometry of a model: from its configuration, and for the rest from its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families import heads
from ast2hf.families.base import CLASSIFICATION
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.ops import Sizes

HEAD_WIDTH = 64
"""Width of one attention head in every model that can be converted (192/3, 384/6, 768/12); no tensor shows it."""

PATCH = 16
"""Side of a patch if neither the configuration nor a tensor gives it."""


def geometry(variant: Variant, shapes: Mapping[str, Sizes], *, prefix: str, head: str) -> Geometry:
    """The geometry of tensors whose names begin with ``prefix``, with the classifier ``head``.

    Errors: see :meth:`ast2hf.families.base.Family.geometry`.
    """
    hidden = size(prefix + "cls_token", 2, shapes) if variant.hidden_size is None else variant.hidden_size
    attention_heads = hidden // HEAD_WIDTH if variant.num_attention_heads is None else variant.num_attention_heads
    if variant.num_attention_heads is None and hidden % HEAD_WIDTH:
        raise ConfigurationError(
            f"the number of attention heads cannot be derived from a width of {hidden}",
            f"set model.num_attention_heads (official models have one per {HEAD_WIDTH} features)",
        )
    labels = variant.num_labels
    if variant.head == CLASSIFICATION and labels is None:
        labels = size(heads.layout(shapes, head, variant.head_norm).linear + ".weight", 0, shapes)
    return Geometry(
        hidden_size=hidden,
        num_hidden_layers=_depth(prefix, shapes) if variant.num_hidden_layers is None else variant.num_hidden_layers,
        num_attention_heads=attention_heads,
        num_labels=labels if variant.head == CLASSIFICATION else None,
        patch_size=kernel(prefix, shapes)[0] if variant.patch_size is None else variant.patch_size,
        frequency_stride=given(variant, "frequency_stride"),
        time_stride=given(variant, "time_stride"),
        max_length=given(variant, "max_length"),
        num_mel_bins=given(variant, "num_mel_bins"),
        mlp_size=_mlp(prefix, shapes),
    )


def given(variant: Variant, name: str) -> int:
    """The size ``name`` of ``variant``. Raises ConfigurationError if it is unset, as no tensor alone shows it."""
    value: int | None = getattr(variant, name)
    if value is None:
        raise ConfigurationError(f"model.{name} cannot be read from the tensors alone", f"set model.{name}")
    return value


def size(name: str, axis: int, shapes: Mapping[str, Sizes]) -> int:
    """The size of the tensor ``name`` along ``axis``. Raises InputError if there is none."""
    if name not in shapes or len(shapes[name]) <= axis or shapes[name][axis] < 1:
        raise InputError(
            f"the checkpoint has no usable tensor {name}, so it is not an Audio Spectrogram Transformer",
            "use a checkpoint written by the original AST code",
        )
    return shapes[name][axis]


def kernel(prefix: str, shapes: Mapping[str, Sizes]) -> tuple[int, int]:
    """The height and width of a patch, in mel bins and frames; PATCH each if the tensors do not show it."""
    shape = shapes.get(prefix + "patch_embed.proj.weight", ())
    return (shape[2], shape[3]) if len(shape) == 4 and min(shape) > 0 else (PATCH, PATCH)


def _mlp(prefix: str, shapes: Mapping[str, Sizes]) -> int | None:
    name = prefix + "blocks.0.mlp.fc1.weight"
    return size(name, 0, shapes) if name in shapes else None


def _depth(prefix: str, shapes: Mapping[str, Sizes]) -> int:
    size(prefix + "blocks.0.norm1.weight", 0, shapes)
    block = re.compile(re.escape(prefix) + r"blocks\.(\d+)\.")
    return len({m[1] for m in map(block.match, shapes) if m})  # counted, since a name may contain any number
