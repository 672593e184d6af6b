"""The parts of the package, as docs/architecture.md lists them, and the picture of their imports.

``python -m support.architecture``, with tests/ on the path, draws the picture again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path

import ast2hf
from support import ROOT

PACKAGE = Path(ast2hf.__file__).parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "architecture.svg"

FOUNDATION = "foundation"
"""Every part uses it; no arrows show that."""

MODULES = {
    ".".join(("ast2hf", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

_BOX, _HEIGHT, _GAP, _ROW, _MARGIN = 128, 38, 28, 92, 16


def imports(path: Path) -> set[str]:
    """The modules of the package that ``path`` imports, those for type checkers alone left out."""
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in MODULES else node.module for a in node.names
            }
        nodes.extend(ast.iter_child_nodes(node))
    return found & set(MODULES)


def listed() -> dict[str, list[str]]:
    """Each part of the page and its modules, as the page lists them."""
    rows = re.findall(r"(?m)^\| ([\w ]+) \| (`.+?`) \|", PAGE.read_text(encoding="utf-8"))
    return {part: re.findall(r"`(\w+)`", modules) for part, modules in rows}


def parts(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Which part imports which, made of ``graph``, that of the modules. Raises KeyError for a module of no part."""
    home = {module: part for part, modules in listed().items() for module in modules}
    found: dict[str, set[str]] = {part: set() for part in listed()}
    for name, imported in graph.items():
        if name != "ast2hf":
            found[home[_top(name)]] |= {home[_top(other)] for other in imported if other != "ast2hf"}
    return {part: others - {part} for part, others in found.items()}


def _top(module: str) -> str:
    return module.split(".")[1]


def shown(uses: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows of the picture: none to the foundation, and none where a longer way leads to the same part."""
    reach = {part: _reachable(part, uses) for part in uses}
    return {
        part: {other for other in others if other != FOUNDATION and not any(other in reach[via] for via in others)}
        for part, others in uses.items()
    }


def _reachable(start: str, uses: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for part in uses[todo.pop()] - seen:
            seen.add(part)
            todo.append(part)
    return seen


def draw(uses: Mapping[str, set[str]]) -> str:
    """The picture as SVG: a part lies above all that it uses."""
    arrows = shown(uses)
    rows = _rows(arrows)
    width = max(len(row) for row in rows) * (_BOX + _GAP) - _GAP + 2 * _MARGIN
    height = len(rows) * _ROW - (_ROW - _HEIGHT) + 2 * _MARGIN
    places = dict(_places(rows, width))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="15">',
        "<title>The parts of ast2hf and which uses which</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#5c6bc0"/></marker></defs>',
    ]
    for part in arrows:
        for other in sorted(arrows[part], key=lambda name: places[name]):
            between = [places[node] for row in rows for node in row if node == (part, other)]
            lines.append(_arrow([places[part], *between, places[other]], f"{part} to {other}"))
    for part in arrows:
        x, y = places[part]
        fill, box = ("#eceff1", width - 2 * _MARGIN) if part == FOUNDATION else ("#e8eaf6", _BOX)
        lines.append(
            f'<rect x="{x - box / 2:g}" y="{y:g}" width="{box:g}" height="{_HEIGHT}" rx="6" fill="{fill}" '
            f'stroke="#5c6bc0"/>'
            f'<text x="{x:g}" y="{y + 24:g}" text-anchor="middle" fill="#1a237e">{escape(part)}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _arrow(stations: list[tuple[float, float]], name: str) -> str:
    """From the lower edge of the first to the upper edge of the last; straight down past those between."""
    x, y = stations[0]
    path = f"M{x:g} {y + _HEIGHT:g}"
    for x2, y2 in stations[1:]:
        middle = (y + _HEIGHT + y2) / 2
        path += f" C{x:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}"
        if (x2, y2) != stations[-1]:
            path += f" V{y2 + _HEIGHT:g}"
        x, y = x2, y2
    return (
        f'<path d="{path}" fill="none" stroke="#5c6bc0" stroke-opacity=".7" marker-end="url(#tip)">'
        f"<title>{escape(name)}</title></path>"
    )


_Node = str | tuple[str, str]
"""A part, or the place where an arrow from one to another passes a row between them."""


def _rows(arrows: Mapping[str, set[str]]) -> list[list[_Node]]:
    """The parts in rows, each in the first row that lies below all that use it; the foundation below them all."""
    depth = dict.fromkeys(arrows, 0)
    for _ in arrows:
        for part, others in arrows.items():
            for other in others:
                depth[other] = max(depth[other], depth[part] + 1)
    rows: list[list[_Node]] = [[] for _ in range(max(depth.values()) + 1)]
    above: dict[_Node, list[_Node]] = {}
    for part in arrows:
        if part != FOUNDATION:
            rows[depth[part]].append(part)
    for part, others in arrows.items():
        for other in sorted(others):
            passed = [(part, other)] * (depth[other] - depth[part] - 1)
            for row in range(depth[part] + 1, depth[other]):
                rows[row].append((part, other))
            above.setdefault(other, []).append(passed[-1] if passed else part)
            if passed:
                above.setdefault(passed[0], []).append(part)
    for upper, row in pairwise(rows):
        middle = {node: (i + 0.5) / len(upper) for i, node in enumerate(upper)}
        wish = {node: _mean([middle[n] for n in (*above.get(node, ()), node) if n in middle]) for node in row}
        row.sort(key=wish.__getitem__)
    return [*rows, [FOUNDATION]]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.5


def _places(rows: list[list[_Node]], width: float) -> Iterator[tuple[_Node, tuple[float, float]]]:
    """The middle of the upper edge of each box."""
    for number, row in enumerate(rows):
        for i, node in enumerate(row):
            step = (width - 2 * _MARGIN) / len(row)
            yield node, (_MARGIN + (i + 0.5) * step, _MARGIN + number * _ROW)


def graph() -> dict[str, set[str]]:
    """Which module imports which."""
    return {name: imports(path) - {name} for name, path in MODULES.items()}


if __name__ == "__main__":
    PICTURE.write_text(draw(parts(graph())), encoding="utf-8")
