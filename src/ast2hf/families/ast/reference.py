"""The original forward of models that keep their encoder under ``v.``: AST, SSAST, Patch-Mix."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ast2hf.families import heads, transformer
from ast2hf.families.ast.table import POSITIONS, PREFIX
from ast2hf.families.geometry import Geometry


def build(
    geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str, classifier: str, head_norm: str | None
) -> transformer.Transformer:
    """The original model on the tensors of ``state_dict``, without copying. ``classifier``: the name of its head."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    return transformer.build(
        geometry,
        state_dict,
        prefix=PREFIX,
        positions=state_dict[POSITIONS],
        head=heads.default(classifier) if geometry.num_labels is None else heads.layout(shapes, classifier, head_norm),
        pooling=pooling,
    )
