"""From a table and the shapes of a checkpoint to a complete, checked plan, before a byte moves.

A plan is a list of slices: every target tensor is a run of consecutive elements of one source tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ast2hf.errors import InputError, VerificationError, printable
from ast2hf.mapping.rules import LAYER, Drop, Rule

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 20


@dataclass(frozen=True)
class Slice:
    """``target``, of ``shape``, is the elements of ``source`` from ``start`` on (row-major)."""

    target: str
    source: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """Slices in the order of the table; the shapes of the sources they cover; what is dropped, with the reason."""

    slices: tuple[Slice, ...]
    sources: Mapping[str, tuple[int, ...]]
    dropped: Mapping[str, str]

    def apply(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The target tensors, as views of the ``source`` tensors."""
        return {s.target: source[s.source].reshape(-1)[s.start : s.stop].reshape(s.shape) for s in self.slices}

    def invert(self, target: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The source tensors (dropped ones excepted), rebuilt one by one from the target tensors."""
        import torch

        parts: dict[str, list[Slice]] = {}
        for s in self.slices:
            parts.setdefault(s.source, []).append(s)
        for name, slices in parts.items():
            pieces = [target(s.target).reshape(-1) for s in sorted(slices, key=lambda s: s.start)]
            flat = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
            yield name, flat.reshape(self.sources[name])


def expand(table: Sequence[Rule], layers: int) -> list[Rule]:
    """The rules of ``table`` with ``{layer}`` filled in, layer by layer."""
    rules: list[Rule] = []
    for rule in table:
        if isinstance(rule, Drop) or LAYER not in rule.source:
            rules.append(rule)
        else:
            rules.extend(rule.at(layer) for layer in range(layers))
    return rules


def make_plan(
    table: Sequence[Rule],
    layers: int,
    dimensions: Mapping[str, int],
    shapes: Mapping[str, tuple[int, ...]],
) -> Plan:
    """The plan that turns tensors of ``shapes`` (by source name) into the targets of ``table``.

    Every source tensor is consumed exactly once or dropped with a reason, every target is produced exactly once, and
    the shapes agree; else InputError (the checkpoint does not fit) or VerificationError (the table is wrong).
    """
    rules = expand(table, layers)
    _require_once((r.source for r in rules), "consumes source")
    _require_once((t for r in rules if not isinstance(r, Drop) for t in r.targets), "produces target")

    slices: list[Slice] = []
    sources: dict[str, tuple[int, ...]] = {}
    dropped: dict[str, str] = {}
    problems: list[str] = []
    for rule in rules:
        if isinstance(rule, Drop):
            if rule.source in shapes:
                dropped[rule.source] = rule.reason
            continue
        expected = tuple(dimensions[d] if isinstance(d, str) else d for d in rule.shape)
        actual = shapes.get(rule.source)
        if actual is None:
            problems.append(f"missing {rule.source} {_show(expected)}")
        elif actual != expected:
            problems.append(f"{rule.source} has shape {_show(actual)}, expected {_show(expected)}")
        else:
            sources[rule.source] = actual
            slices.extend(_slices(rule.source, rule.targets, actual))
    known = {r.source for r in rules}
    problems += [f"unexpected {printable(name, 100)} {_show(shapes[name])}" for name in shapes if name not in known]
    if problems:
        raise InputError(
            f"the checkpoint does not fit the model: {len(problems)} tensors differ: "
            + "; ".join(problems[:_SHOWN])
            + (f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""),
            "choose the model that the checkpoint was trained as (model=…), or correct model.frequency_stride, "
            "model.time_stride, model.max_length, model.num_labels",
        )
    return Plan(tuple(slices), sources, dropped)


def _slices(source: str, targets: Sequence[str], shape: tuple[int, ...]) -> Iterator[Slice]:
    rows, remainder = divmod(shape[0], len(targets))
    if remainder:
        raise VerificationError(
            f"{source} of shape {_show(shape)} does not split into {len(targets)} equal parts", "correct the table"
        )
    part = (rows, *shape[1:])
    for i, target in enumerate(targets):
        yield Slice(target, source, i * prod(part), part)


def _require_once(names: Iterable[str], verb: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise VerificationError(f"the mapping table {verb} {name} twice", "correct the table")
        seen.add(name)


def _show(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
