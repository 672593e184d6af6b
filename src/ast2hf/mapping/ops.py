"""What can be done to tensors on their way to the converted model. Each operation knows its inverse, or has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Sizes = tuple[int, ...]


class Op(Protocol):
    """From one or more source tensors to one or more target tensors.

    ``copies``: the elements of the targets, one target after the other, are those of the single source in order
    (row-major), so that the bytes of a file can be copied without a tensor in memory.
    """

    @property
    def copies(self) -> bool: ...

    @property
    def inverse(self) -> Op | None:
        """From the targets back to the sources, bit for bit; None where that is not possible."""

    def __call__(self, *sources: Tensor) -> tuple[Tensor, ...]: ...

    def shapes(self, *sources: Sizes) -> tuple[Sizes, ...]:
        """The shapes of the targets. Raises ValueError where the operation does not apply to such sources."""


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
    """``count`` tensors of one shape joined along their first axis."""

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
            raise ValueError(f"{[list(s) for s in sources]} are not {self.count} tensors of one shape")
        return ((self.count * sources[0][0], *sources[0][1:]),)
