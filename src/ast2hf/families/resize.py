"""Position embeddings for another length or another number of mel bins: the authors' own rule.

Source: YuanGongND/ast, ast_models.py:92-107 and 141-154, and ssast, ast_models.py:192-204. Patches lie on a grid of
``rows`` of frequency and ``columns`` of time, lowest frequency first; the class tokens keep their positions. First the
columns, then the rows: if there are fewer than before, the middle ones are kept; if there are more, they are
interpolated linearly (pixel centres aligned rather than corners, no smoothing). SSAST's code goes through a grid of 8
rows, which changes nothing for the grids of 8 rows and of one row that it is used with.

The rule is implemented twice: :class:`Fit`, in torch, is used by the conversion; :func:`fitted`, in numpy, by the proof
for the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ast2hf.errors import ConfigurationError
from ast2hf.families.geometry import CLASS_TOKENS, Geometry
from ast2hf.mapping.ops import Op, Scaled, Sizes
from ast2hf.mapping.rules import Rule, Table

if TYPE_CHECKING:
    from torch import Tensor

RULE = "middle where shorter, bilinear where longer; time, then frequency"

POSITIONS = "positions"
"""The symbol in a table's shapes that marks the tensor with a row for each token."""

Grid = tuple[int, int]
"""Rows of frequency, columns of time."""


def grid(geometry: Geometry) -> Grid:
    return geometry.frequency_patches, geometry.time_patches


@dataclass(frozen=True)
class Resizing:
    """A change from the sizes of ``source`` to those of ``target``. ``tensor``: the source name of the positions."""

    source: Geometry
    target: Geometry
    tensor: str

    def state_dict(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``tensors`` by their names in the checkpoint, with positions from :func:`fitted`, for the original."""
        import torch

        own = tensors[self.tensor]
        value = fitted(own.double().numpy(), grid(self.source), grid(self.target))
        return {**tensors, self.tensor: torch.from_numpy(value).to(own.dtype)}

    def as_dict(self) -> dict[str, object]:
        """For the report."""
        sizes = ("max_length", "num_mel_bins", "num_positions")
        source, target = self.source.as_dict(), self.target.as_dict()
        return {"from": {n: source[n] for n in sizes}, "to": {n: target[n] for n in sizes}, "rule": RULE}


def resized(table: Table, source: Geometry, target: Geometry) -> tuple[Table, Resizing] | None:
    """``table`` for ``target``, of a checkpoint with the sizes of ``source``.

    None if no tensor has a row for each token: PaSST and MAEST add up positions of rows and columns, and themselves use
    the first columns for a shorter input. Raises ConfigurationError if they would need other rows, or if a patch spans
    all mel bins, because its kernel would have to change.
    """
    if source.patch_size != target.patch_size:
        raise ConfigurationError(
            f"a patch spans all {source.num_mel_bins} mel bins, and the authors have no rule to change their number",
            "leave out resize.num_mel_bins",
        )
    found = [rule for rule in table if isinstance(rule, Rule) and any(POSITIONS in shape for shape in rule.shapes)]
    if not found:
        if source.frequency_patches != target.frequency_patches:
            raise ConfigurationError(
                f"the authors have no rule to resize positions from {source.num_mel_bins} mel bins to "
                f"{target.num_mel_bins}",
                "leave out resize.num_mel_bins",
            )
        return None
    fit = Fit(grid(source), grid(target))
    fitting = tuple(replace(rule, op=_after(fit, rule.op)) if rule in found else rule for rule in table)
    return fitting, Resizing(source, target, found[0].sources[0])


def _after(fit: Fit, op: Op) -> Op:
    """``op`` applied after ``fit``; a scaling stays outermost, so that nothing is rounded twice."""
    return replace(op, op=_after(fit, op.op)) if isinstance(op, Scaled) else After(fit, op)


@dataclass(frozen=True)
class Fit:
    """Position embeddings (1, 2 + rows * columns, hidden) from one grid to another; in float64, then rounded."""

    source: Grid
    target: Grid
    copies = False
    inverse = None

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        import torch
        import torch.nn.functional as F

        (value,) = sources
        tokens, patches = value[:, :CLASS_TOKENS], value[:, CLASS_TOKENS:].double()
        picture = patches.transpose(1, 2).reshape(1, value.shape[2], *self.source)
        for axis in (1, 0):  # time, then frequency
            size, wanted = picture.shape[2 + axis], self.target[axis]
            if wanted > size:
                both = [picture.shape[2], picture.shape[3]]
                both[axis] = wanted
                picture = F.interpolate(picture, size=both, mode="bilinear", align_corners=False)
            else:
                picture = picture.narrow(2 + axis, size // 2 - wanted // 2, wanted)
        return (torch.cat([tokens, picture.flatten(2).transpose(1, 2).to(value.dtype)], dim=1),)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        (shape,) = sources
        rows, columns = self.source
        if len(shape) != 3 or shape[0] != 1 or shape[1] != CLASS_TOKENS + rows * columns:
            raise ValueError(f"{list(shape)} has no row for each of 2 + {rows} x {columns} tokens")
        return ((1, CLASS_TOKENS + self.target[0] * self.target[1], shape[2]),)


@dataclass(frozen=True)
class After:
    """``first``, then ``then``."""

    first: Op
    then: Op
    copies = False
    inverse = None

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        return self.then(*self.first(*sources))

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        return self.then.shapes(*self.first.shapes(*sources))


def fitted(embeddings: NDArray[np.float64], source: Grid, target: Grid) -> NDArray[np.float64]:
    """``embeddings`` of shape (1, 2 + rows * columns, hidden) for the grid ``target``; independent of Fit."""
    tokens, patches = np.split(embeddings[0], [CLASS_TOKENS])
    rows, columns = (_axis(size, wanted) for size, wanted in zip(source, target, strict=True))
    hidden = embeddings.shape[2]
    picture = np.einsum("Tt,fth->fTh", columns, patches.reshape(*source, hidden))
    picture = np.einsum("Ff,fTh->FTh", rows, picture)
    return np.concatenate([tokens, picture.reshape(-1, hidden)])[np.newaxis]


def _axis(size: int, wanted: int) -> NDArray[np.float64]:
    """The matrix (wanted, size) that resamples ``size`` values along one axis to ``wanted``."""
    matrix = np.zeros((wanted, size))
    for place in range(wanted):
        if wanted <= size:
            matrix[place, size // 2 - wanted // 2 + place] = 1
            continue
        at = max((place + 0.5) * size / wanted - 0.5, 0.0)
        left = floor(at)
        right = min(left + 1, size - 1)
        matrix[place, left] += 1 - (at - left)
        matrix[place, right] += at - left
    return matrix
