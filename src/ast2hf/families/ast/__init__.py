"""The Audio Spectrogram Transformer of Gong, Chung and Glass (2021), as its authors' code saves it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from ast2hf.config import Variant
from ast2hf.families.ast import sizes
from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.families.ast.table import TABLE
from ast2hf.families.base import CLASSIFICATION, Activations, encoder_only
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Table

if TYPE_CHECKING:
    from torch import Tensor

_NO_HEAD = "classifier; model.head=none converts the encoder alone"


class Ast:
    """See :class:`ast2hf.families.base.Family`."""

    name = "ast"
    title = "Audio Spectrogram Transformer"

    def recognises(self, names: Collection[str]) -> bool:
        # The names of the head prove nothing: other models of the same authors share them.
        return any(name.startswith("v.") for name in names)

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        return sizes.geometry(variant, variant.head == CLASSIFICATION, shapes)

    def table(self, head: str) -> Table:
        return TABLE if head == CLASSIFICATION else encoder_only(TABLE, _NO_HEAD)

    def front_end(self, variant: Variant) -> KaldiFbank:
        return KaldiFbank(variant.sampling_rate, variant.num_mel_bins, variant.max_length, variant.mean, variant.std)

    def reference(self, geometry: Geometry, state_dict: Mapping[str, Tensor]) -> Callable[[Tensor], Activations]:
        from ast2hf.families.ast import reference  # which imports torch

        return reference.build(geometry, state_dict)


AST = Ast()
