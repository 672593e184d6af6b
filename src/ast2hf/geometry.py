"""The sizes of one Audio Spectrogram Transformer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ast2hf.config import Model
from ast2hf.errors import ConfigurationError, InputError

HEAD_WIDTH = 64
"""Width of one attention head in every published AST (192/3, 384/6, 768/12); the count is not in the tensors."""

MLP_RATIO = 4
"""Width of the feed-forward layer over the width of the model (DeiT, on which AST is built)."""

_BLOCK = re.compile(r"v\.blocks\.(\d+)\.")


@dataclass(frozen=True)
class Geometry:
    """Sizes in elements; strides in frames and mel bins; ``max_length`` in frames of 10 ms."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_labels: int
    patch_size: int
    frequency_stride: int
    time_stride: int
    max_length: int
    num_mel_bins: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigurationError(f"model.{name} is {value}", "give a positive number")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigurationError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}",
                "correct model.num_attention_heads",
            )
        if min(self.max_length, self.num_mel_bins) < self.patch_size:
            raise ConfigurationError(
                f"a patch of {self.patch_size} does not fit into {self.max_length} frames x {self.num_mel_bins} bins",
                "correct model.max_length, model.num_mel_bins or model.patch_size",
            )

    @property
    def intermediate_size(self) -> int:
        return MLP_RATIO * self.hidden_size

    @property
    def frequency_patches(self) -> int:
        return (self.num_mel_bins - self.patch_size) // self.frequency_stride + 1

    @property
    def time_patches(self) -> int:
        return (self.max_length - self.patch_size) // self.time_stride + 1

    @property
    def num_positions(self) -> int:
        """Class token, distillation token, patches."""
        return 2 + self.frequency_patches * self.time_patches

    def dimensions(self) -> dict[str, int]:
        """The values of the symbols in the shapes of :mod:`ast2hf.mapping.ast`."""
        return {
            "hidden": self.hidden_size,
            "3*hidden": 3 * self.hidden_size,
            "mlp": self.intermediate_size,
            "patch": self.patch_size,
            "positions": self.num_positions,
            "labels": self.num_labels,
        }

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "intermediate_size": self.intermediate_size, "num_positions": self.num_positions}


def resolve(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> Geometry:
    """The geometry of ``model``; what its configuration leaves open is read from the tensors' ``shapes``.

    Raises InputError where a needed tensor is missing.
    """

    def size(name: str, axis: int) -> int:
        if name not in shapes or len(shapes[name]) <= axis or shapes[name][axis] < 1:
            raise InputError(
                f"the checkpoint has no usable tensor {name}, so it is not an Audio Spectrogram Transformer",
                "give a checkpoint of the original AST code",
            )
        return shapes[name][axis]

    def depth() -> int:
        size("v.blocks.0.norm1.weight", 0)
        return len({m[1] for m in map(_BLOCK.match, shapes) if m})  # a name may hold any number

    hidden = size("v.cls_token", 2) if model.hidden_size is None else model.hidden_size
    heads = hidden // HEAD_WIDTH if model.num_attention_heads is None else model.num_attention_heads
    if model.num_attention_heads is None and hidden % HEAD_WIDTH:
        raise ConfigurationError(
            f"the number of attention heads cannot be told from a width of {hidden}",
            f"give model.num_attention_heads (published models have one per {HEAD_WIDTH} features)",
        )
    return Geometry(
        hidden_size=hidden,
        num_hidden_layers=depth() if model.num_hidden_layers is None else model.num_hidden_layers,
        num_attention_heads=heads,
        num_labels=size("mlp_head.1.weight", 0) if model.num_labels is None else model.num_labels,
        patch_size=model.patch_size,
        frequency_stride=model.frequency_stride,
        time_stride=model.time_stride,
        max_length=model.max_length,
        num_mel_bins=model.num_mel_bins,
    )
