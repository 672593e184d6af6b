"""The sizes of one model, in the terms of Hugging Face's AST, the target of every conversion."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ast2hf.errors import ConfigurationError

MLP_RATIO = 4
"""Width of the feed-forward layer over the width of the model (DeiT, on which AST is built)."""


CLASS_TOKENS = 2
"""The tokens before the patches: class and distillation."""


@dataclass(frozen=True)
class Geometry:
    """Sizes in elements; strides in frames and mel bins; ``max_length`` in frames of 10 ms.

    ``num_labels``: None if the model has no head. ``mlp_size``: width of the feed-forward layers; None if it is
    MLP_RATIO times the width of the model, as it nearly always is.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_labels: int | None
    patch_size: int
    frequency_stride: int
    time_stride: int
    max_length: int
    num_mel_bins: int
    mlp_size: int | None = None

    def __post_init__(self) -> None:
        if self.mlp_size == MLP_RATIO * self.hidden_size:  # so that equal geometries compare equal
            object.__setattr__(self, "mlp_size", None)
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise ConfigurationError(f"model.{name} is {value}", "it must be > 0")
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
        return MLP_RATIO * self.hidden_size if self.mlp_size is None else self.mlp_size

    @property
    def frequency_patches(self) -> int:
        return (self.num_mel_bins - self.patch_size) // self.frequency_stride + 1

    @property
    def time_patches(self) -> int:
        return (self.max_length - self.patch_size) // self.time_stride + 1

    @property
    def num_positions(self) -> int:
        """Class token, distillation token, patches."""
        return CLASS_TOKENS + self.frequency_patches * self.time_patches

    def dimensions(self) -> dict[str, int]:
        """The values of the symbols in the shapes of a table."""
        found = {
            "hidden": self.hidden_size,
            "mlp": self.intermediate_size,
            "patch": self.patch_size,
            "positions": self.num_positions,
            "rows": self.frequency_patches,
            "columns": self.time_patches,
        }
        return found if self.num_labels is None else {**found, "labels": self.num_labels}

    def as_dict(self) -> dict[str, int]:
        known = {name: value for name, value in asdict(self).items() if value is not None and name != "mlp_size"}
        return {**known, "intermediate_size": self.intermediate_size, "num_positions": self.num_positions}
