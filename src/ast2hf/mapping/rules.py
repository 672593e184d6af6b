"""The three things that can happen to a source tensor. Each rule is frozen and knows its reverse.

Names may contain ``{layer}``; :meth:`at` fills it in. Shapes are written in symbols (see ``Geometry.dimensions``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

Shape = tuple[int | str, ...]

LAYER = "{layer}"


def _fill(name: str, layer: int) -> str:
    return name.replace(LAYER, str(layer))


@dataclass(frozen=True)
class Rename:
    """One source tensor becomes one target tensor, unchanged."""

    source: str
    target: str
    shape: Shape

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    def at(self, layer: int) -> Rename:
        return replace(self, source=_fill(self.source, layer), target=_fill(self.target, layer))


@dataclass(frozen=True)
class Split:
    """One source tensor becomes several targets: equal consecutive parts along its first axis."""

    source: str
    targets: tuple[str, ...]
    shape: Shape

    def at(self, layer: int) -> Split:
        return replace(self, source=_fill(self.source, layer), targets=tuple(_fill(t, layer) for t in self.targets))


@dataclass(frozen=True)
class Drop:
    """A source tensor that the function does not depend on. May be absent; its shape is free."""

    source: str
    reason: str


Rule = Rename | Split | Drop
