"""The original forward of models whose positions are the sum of rows and columns: PaSST, MAEST."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ast2hf.families import heads, transformer
from ast2hf.families.geometry import Geometry
from ast2hf.families.passt.table import COLUMNS, HEAD, ROWS, TOKENS


def build(
    geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str, head_norm: str | None
) -> transformer.Transformer:
    """The original model on the tensors of ``state_dict``, without copying, except for the summed positions."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    return transformer.build(
        geometry,
        state_dict,
        prefix="",
        positions=positions(geometry, state_dict),
        head=heads.default(HEAD) if geometry.num_labels is None else heads.layout(shapes, HEAD, head_norm),
        pooling=pooling,
    )


def positions(geometry: Geometry, state_dict: Mapping[str, Tensor]) -> Tensor:
    """(1, tokens, hidden): patch (f, t) has the f-th row plus the t-th column, counted from the start."""
    rows, columns = state_dict[ROWS][0, :, :, 0], state_dict[COLUMNS][0, :, 0, :]
    found = state_dict[TOKENS].new_empty(1, geometry.num_positions, geometry.hidden_size)
    found[:, :2] = state_dict[TOKENS]
    width = geometry.time_patches
    for row in range(geometry.frequency_patches):
        start = 2 + row * width
        found[0, start : start + width] = rows[:, row] + columns[:, :width].T
    return found
