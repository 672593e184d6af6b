"""How a model is recognised by the names of its tensors, whatever their prefix."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ast2hf.mapping.ops import Sizes

MAX_PREFIXES = 64
"""How many places in one file are examined; real files have a handful."""


@dataclass(frozen=True)
class Sign:
    """All of ``names`` are present under one prefix, and none of ``without``.

    A name that ends in a dot matches any name that begins with it. ``channels``: of the patch kernel, if it matters.
    """

    names: tuple[str, ...]
    without: tuple[str, ...] = ()
    channels: int | None = None

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        """Whether the tensors of ``shapes`` show it, at any prefix."""
        return any(self._at(prefix, shapes) for prefix in prefixes(shapes, self.names[0]))

    def _at(self, prefix: str, shapes: Mapping[str, Sizes]) -> bool:
        if not all(_has(prefix + name, shapes) for name in self.names):
            return False
        if any(_has(prefix + name, shapes) for name in self.without):
            return False
        return self.channels is None or _channels(prefix, shapes) == self.channels


def prefixes(names: Collection[str], anchor: str) -> list[str]:
    """The prefixes of ``anchor`` in ``names``: empty, or whole parts of a dotted name. At most MAX_PREFIXES."""
    found: dict[str, None] = {}
    for prefix in _prefixes(names, anchor):
        found[prefix] = None
        if len(found) == MAX_PREFIXES:
            break
    return list(found)


def _prefixes(names: Collection[str], anchor: str) -> Iterator[str]:
    dotted = "." + anchor
    for name in names:
        if anchor.endswith("."):  # the beginning of names
            if name.startswith(anchor):
                yield ""
            elif (place := name.find(dotted)) >= 0:
                yield name[: place + 1]
        elif name == anchor:
            yield ""
        elif name.endswith(dotted):
            yield name[: -len(anchor)]


def _has(name: str, names: Collection[str]) -> bool:
    return any(n.startswith(name) for n in names) if name.endswith(".") else name in names


def _channels(prefix: str, shapes: Mapping[str, Sizes]) -> int | None:
    kernel = shapes.get(prefix + "patch_embed.proj.weight", ())
    return kernel[1] if len(kernel) == 4 else None
