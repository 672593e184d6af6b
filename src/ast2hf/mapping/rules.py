"""The entries of a table: rules that turn source tensors into target tensors, and drops.

Names may contain ``{layer}``, which :func:`expand` fills in. Shapes are written with symbols, whose values come from
``Geometry.dimensions()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ast2hf.mapping.ops import Chunk, Identity, Op, Sizes

LAYER = "{layer}"


@dataclass(frozen=True)
class Times:
    """``factor`` times the value of ``symbol``."""

    factor: int
    symbol: str


Shape = tuple[int | str | Times, ...]


@dataclass(frozen=True)
class Rule:
    """``op`` turns ``sources``, of the given ``shapes``, into ``targets``."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    op: Op
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Drop:
    """A source tensor on which the function does not depend. It may be absent, and its shape is not checked.

    ``shape``: its shape in the authors' files. ``apart``: it belongs to a head that is kept in a separate file.
    """

    source: str
    reason: str
    shape: Shape
    apart: bool = False


Table = Sequence[Rule | Drop]


def rename(source: str, target: str, shape: Shape) -> Rule:
    """One source tensor becomes one target tensor, unchanged."""
    return Rule((source,), (target,), Identity(), (shape,))


def split(source: str, targets: tuple[str, ...], shape: Shape) -> Rule:
    """One source tensor becomes several: equal consecutive parts along its first axis. ``shape``: that of each part."""
    first, *rest = shape
    assert isinstance(first, str)
    return Rule((source,), targets, Chunk(len(targets)), ((Times(len(targets), first), *rest),))


def expand(table: Table, layers: int) -> list[Rule | Drop]:
    """``table`` with ``{layer}`` filled in, layer by layer."""
    rules: list[Rule | Drop] = []
    for rule in table:
        if isinstance(rule, Rule) and any(LAYER in name for name in rule.sources):
            rules.extend(_at(rule, layer) for layer in range(layers))
        else:
            rules.append(rule)
    return rules


def sizes(shape: Shape, dimensions: Mapping[str, int]) -> Sizes:
    """``shape`` in numbers."""

    def size(dimension: int | str | Times) -> int:
        if isinstance(dimension, Times):
            return dimension.factor * dimensions[dimension.symbol]
        return dimensions[dimension] if isinstance(dimension, str) else dimension

    return tuple(map(size, shape))


def _at(rule: Rule, layer: int) -> Rule:
    sources, targets = (
        tuple(name.replace(LAYER, str(layer)) for name in names) for names in (rule.sources, rule.targets)
    )
    return replace(rule, sources=sources, targets=targets)
