"""The geometry of an AST: what its configuration gives, and for the rest what its tensors show."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.ops import Sizes

HEAD_WIDTH = 64
"""Width of one attention head in every official AST (192/3, 384/6, 768/12); the count is not in the tensors."""

_BLOCK = re.compile(r"v\.blocks\.(\d+)\.")


def geometry(variant: Variant, has_head: bool, shapes: Mapping[str, Sizes]) -> Geometry:
    """See :meth:`ast2hf.families.base.Family.geometry`."""
    hidden = _size("v.cls_token", 2, shapes) if variant.hidden_size is None else variant.hidden_size
    heads = hidden // HEAD_WIDTH if variant.num_attention_heads is None else variant.num_attention_heads
    if variant.num_attention_heads is None and hidden % HEAD_WIDTH:
        raise ConfigurationError(
            f"a width of {hidden} does not say how many attention heads there are",
            f"give model.num_attention_heads (official models have one per {HEAD_WIDTH} features)",
        )
    labels = variant.num_labels
    if has_head and labels is None:
        labels = _size("mlp_head.1.weight", 0, shapes)
    return Geometry(
        hidden_size=hidden,
        num_hidden_layers=_depth(shapes) if variant.num_hidden_layers is None else variant.num_hidden_layers,
        num_attention_heads=heads,
        num_labels=labels if has_head else None,
        patch_size=variant.patch_size,
        frequency_stride=variant.frequency_stride,
        time_stride=variant.time_stride,
        max_length=variant.max_length,
        num_mel_bins=variant.num_mel_bins,
    )


def _size(name: str, axis: int, shapes: Mapping[str, Sizes]) -> int:
    if name not in shapes or len(shapes[name]) <= axis or shapes[name][axis] < 1:
        raise InputError(
            f"the checkpoint has no usable tensor {name}, so it is not an Audio Spectrogram Transformer",
            "give a checkpoint of the original AST code",
        )
    return shapes[name][axis]


def _depth(shapes: Mapping[str, Sizes]) -> int:
    _size("v.blocks.0.norm1.weight", 0, shapes)
    return len({m[1] for m in map(_BLOCK.match, shapes) if m})  # a name may hold any number
