"""Operations on tensors on their way to the converted model. Each knows its inverse, if it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

Sizes = tuple[int, ...]


class Op(Protocol):
    """Turns source tensors, usually one, into one or more target tensors.

    ``copies``: the elements of the targets, one target after the other, are those of the single source in row-major
    order, so that bytes can be copied from file to file without loading a tensor.
    """

    @property
    def copies(self) -> bool: ...

    @property
    def inverse(self) -> Op | None:
        """The way back from the targets to the sources: bit for bit, reading every element of the targets; or None."""

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]: ...

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        """The shapes of the targets. Raises ValueError if the operation does not apply to such sources."""


@runtime_checkable
class Sized(Protocol):
    """An operation that needs a size of the model, which no table contains."""

    def sized(self, dimensions: Mapping[str, int]) -> Op:
        """The same operation with its sizes filled in from the values of the symbols."""


@runtime_checkable
class Undoable(Protocol):
    """An operation that has no exact inverse, but can be undone within the rounding of its type."""

    @property
    def undone(self) -> Op | None: ...


def sized(op: Op, dimensions: Mapping[str, int]) -> Op:
    """``op`` with the sizes that it needs."""
    return op.sized(dimensions) if isinstance(op, Sized) else op


def undone(op: Op) -> Op | None:
    """The way back from the targets of ``op`` to its sources, within one rounding; None if there is none."""
    return op.inverse or (op.undone if isinstance(op, Undoable) else None)


@dataclass(frozen=True)
class Identity:
    """One tensor, unchanged."""

    copies = True

    @property
    def inverse(self) -> Identity:
        return self

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        return sources

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        return sources


@dataclass(frozen=True)
class Chunk:
    """One tensor in ``count`` equal parts along its first axis."""

    count: int
    copies = True

    @property
    def inverse(self) -> Concatenate:
        return Concatenate(self.count)

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        return sources[0].chunk(self.count)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        rows, remainder = divmod(sources[0][0], self.count)
        if remainder:
            raise ValueError(f"{list(sources[0])} does not split into {self.count} equal parts")
        return ((rows, *sources[0][1:]),) * self.count


@dataclass(frozen=True)
class Concatenate:
    """``count`` tensors of the same shape joined along their first axis."""

    count: int
    copies = False

    @property
    def inverse(self) -> Chunk:
        return Chunk(self.count)

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        import torch

        return (torch.cat(sources),)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        if len(sources) != self.count or len(set(sources)) != 1:
            raise ValueError(f"{[list(s) for s in sources]} are not {self.count} tensors of the same shape")
        return ((self.count * sources[0][0], *sources[0][1:]),)


@dataclass(frozen=True)
class ZeroPadded:
    """A kernel (out, in, rows, columns) made square by appending zeros to its ``columns``.

    A convolution with it, at the same strides, reads more frames and multiplies them by zero. It has no inverse: the
    way back would not read the zeros, and they must be checked, too.
    """

    columns: int
    copies = False
    inverse = None

    @property
    def undone(self) -> FirstColumns:
        return FirstColumns(self.columns)

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        import torch.nn.functional as F

        (kernel,) = sources
        return (F.pad(kernel, (0, kernel.shape[2] - kernel.shape[3])),)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        (kernel,) = sources
        if len(kernel) != 4 or kernel[3] != self.columns or kernel[2] < kernel[3]:
            raise ValueError(f"{list(kernel)} is not a kernel of {self.columns} columns and at least as many rows")
        return ((*kernel[:3], kernel[2]),)


@dataclass(frozen=True)
class FirstColumns:
    """A kernel (out, in, rows, columns) cut to its first ``columns``."""

    columns: int
    copies = False
    inverse = None

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        return (sources[0][..., : self.columns].contiguous(),)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        (kernel,) = sources
        if len(kernel) != 4 or kernel[3] < self.columns:
            raise ValueError(f"{list(kernel)} is not a kernel of at least {self.columns} columns")
        return ((*kernel[:3], self.columns),)


@dataclass(frozen=True)
class SummedPositions:
    """Patch positions as the sum of one embedding per frequency row and one per time column.

    Sources: the positions of the class tokens (1, 2, d), of the rows (1, d, rows, 1), of the columns (1, d, 1, n).
    Target: (1, 2 + rows * columns, d), row by row. Only the first ``columns`` of the n are used; None until known.
    """

    columns: int | None = None
    copies = False
    inverse = None

    def sized(self, dimensions: Mapping[str, int]) -> SummedPositions:
        return replace(self, columns=dimensions["columns"]) if self.columns is None else self

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        import torch

        tokens, rows, columns = sources
        patches = rows + columns[..., : self.columns]
        return (torch.cat([tokens, patches.flatten(2).transpose(1, 2)], dim=1),)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        try:
            (_, count, width), (_, of_rows, rows, _), (_, of_columns, _, available) = sources
        except ValueError:
            raise ValueError(f"{[list(s) for s in sources]} are not positions of tokens, rows and columns") from None
        columns = available if self.columns is None else self.columns
        if not width == of_rows == of_columns or columns > available:
            raise ValueError(f"{[list(s) for s in sources]} do not give positions for {columns} columns")
        return ((1, count + rows * columns, width),)


@dataclass(frozen=True)
class Filled:
    """A tensor filled with ``value``, without a source; as long as the model is wide. ``size``: None until known."""

    value: float
    size: int | None = None
    copies = False
    inverse = None

    def sized(self, dimensions: Mapping[str, int]) -> Filled:
        return replace(self, size=dimensions["hidden"]) if self.size is None else self

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        import torch

        return (torch.full(self.shapes()[0], self.value, dtype=torch.float32),)

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        if self.size is None or sources:
            raise ValueError("a filled tensor needs its size and has no source")
        return ((self.size,),)


@dataclass(frozen=True)
class Scaled:
    """The result of ``op`` times ``factor``, computed in float64 and rounded once to the type of the sources.

    ``op`` only moves and adds elements, so the order of operation and factor does not matter.
    """

    op: Op
    factor: float
    copies = False
    inverse = None

    @property
    def undone(self) -> Scaled | None:
        back = undone(self.op)
        return None if back is None else Scaled(back, 1 / self.factor)

    def sized(self, dimensions: Mapping[str, int]) -> Scaled:
        return replace(self, op=sized(self.op, dimensions))

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]:
        kind = sources[0].dtype
        return tuple((target * self.factor).to(kind) for target in self.op(*(source.double() for source in sources)))

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        return self.op.shapes(*sources)
