"""Make a complete, checked plan from a table and the shapes of a checkpoint, before any data is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ast2hf.errors import InputError, printable
from ast2hf.mapping.ops import Op, Sizes, sized, undone
from ast2hf.mapping.rules import Drop, Rule, Table, expand, sizes

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 20
"""The number of tensors that an error lists."""


@dataclass(frozen=True)
class Step:
    """``targets`` are ``op`` of ``sources``: a rule with its layer and sizes filled in."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    op: Op
    source_shapes: tuple[Sizes, ...]
    target_shapes: tuple[Sizes, ...]

    def reversed(self) -> Step:
        """The step from the targets back to the sources. Raises ValueError if the operation has no inverse."""
        if self.op.inverse is None:
            raise ValueError(f"{type(self.op).__name__} of {', '.join(self.sources)} cannot be inverted")
        return Step(self.targets, self.sources, self.op.inverse, self.target_shapes, self.source_shapes)

    def undone(self) -> Step:
        """Like :meth:`reversed`, but within one rounding if it cannot be bit for bit."""
        back = undone(self.op)
        if back is None:
            raise ValueError(f"{type(self.op).__name__} of {', '.join(self.sources)} cannot be undone")
        return Step(self.targets, self.sources, back, self.target_shapes, self.source_shapes)


@dataclass(frozen=True)
class Plan:
    """Steps in table order; the dropped tensors with reasons; and those of them that are kept in a separate file."""

    steps: tuple[Step, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)
    apart: tuple[str, ...] = ()

    @property
    def sources(self) -> dict[str, Sizes]:
        """Name and shape of each tensor that is used."""
        return {name: shape for s in self.steps for name, shape in zip(s.sources, s.source_shapes, strict=True)}

    @property
    def targets(self) -> dict[str, Sizes]:
        """Name and shape of each tensor that is written, in order."""
        return {name: shape for s in self.steps for name, shape in zip(s.targets, s.target_shapes, strict=True)}

    def tensors(self, source: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each target, one step after the other. ``source`` gives a tensor by its name."""
        for step in self.steps:
            yield from zip(step.targets, step.op(*map(source, step.sources)), strict=True)

    def reversed(self) -> Plan:
        """The plan from the targets back to the sources, without dropped ones. Raises ValueError if not invertible."""
        return Plan(tuple(step.reversed() for step in self.steps))

    def undone(self) -> Plan:
        """Like :meth:`reversed`, but within one rounding where it cannot be bit for bit (padding, scaling)."""
        return Plan(tuple(step.undone() for step in self.steps))

    def parts(self) -> tuple[Plan, Plan]:
        """The steps that can be inverted, and those that cannot."""
        invertible = tuple(s for s in self.steps if s.op.inverse is not None)
        return Plan(invertible), Plan(tuple(s for s in self.steps if s.op.inverse is None))


def make_plan(table: Table, layers: int, dimensions: Mapping[str, int], shapes: Mapping[str, Sizes]) -> Plan:
    """The plan that turns tensors of ``shapes`` (by source name) into the targets of ``table``.

    Every source tensor is used exactly once or dropped with a reason, every target is made exactly once, and the
    shapes agree. Raises InputError if the checkpoint does not fit, ValueError if the table contradicts itself.
    """
    rules = expand(table, layers)
    _require_once((name for r in rules for name in _sources(r)), "uses source")
    _require_once((name for r in rules if isinstance(r, Rule) for name in r.targets), "makes target")

    steps: list[Step] = []
    dropped: dict[str, str] = {}
    problems: list[str] = []
    for rule in rules:
        if isinstance(rule, Drop):
            if rule.source in shapes:
                dropped[rule.source] = rule.reason
            continue
        expected = tuple(sizes(shape, dimensions) for shape in rule.shapes)
        found = [_problem(name, shape, shapes) for name, shape in zip(rule.sources, expected, strict=True)]
        problems += filter(None, found)
        if not any(found):
            op = sized(rule.op, dimensions)
            steps.append(Step(rule.sources, rule.targets, op, expected, op.shapes(*expected)))
    known = {name for rule in rules for name in _sources(rule)}
    problems += [f"unexpected {printable(name, 100)} {list(shapes[name])}" for name in shapes if name not in known]
    if problems:
        raise InputError(
            f"the checkpoint does not fit the model: {len(problems)} tensor{'s' * (len(problems) > 1)} "
            f"{'differ' if len(problems) > 1 else 'differs'}: "
            + ", ".join(problems[:_SHOWN])
            + (f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""),
            "choose the model that the checkpoint was trained as (model=…, or model=custom), or correct "
            "model.frequency_stride, model.time_stride, model.max_length or model.num_labels",
        )
    apart = tuple(rule.source for rule in rules if isinstance(rule, Drop) and rule.apart and rule.source in shapes)
    return Plan(tuple(steps), dropped, apart)


def _sources(rule: Rule | Drop) -> tuple[str, ...]:
    return (rule.source,) if isinstance(rule, Drop) else rule.sources


def _problem(name: str, expected: Sizes, shapes: Mapping[str, Sizes]) -> str | None:
    actual = shapes.get(name)
    if actual is None:
        return f"missing {name} {list(expected)}"
    return None if actual == expected else f"{name} has shape {list(actual)}, expected {list(expected)}"


def _require_once(names: Iterable[str], verb: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the mapping table {verb} {name} twice")
        seen.add(name)
