"""The package's own imports: which module may know which. Those inside functions count, too."""

from __future__ import annotations

import subprocess
import sys

from support import architecture
from support.architecture import MODULES

GRAPH = architecture.graph()


def circles(graph):
    """The groups of modules that import each other, directly or through others."""

    def reachable(start):
        seen, todo = set(), [start]
        while todo:
            for module in graph[todo.pop()] - seen:
                seen.add(module)
                todo.append(module)
        return seen

    reach = {module: reachable(module) for module in graph}
    return {frozenset(m for m in reach[n] if n in reach[m]) for n in graph if n in reach[n]}


def test_there_is_no_circle():
    assert circles(GRAPH) == set()


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {frozenset({"b", "c"})}


def test_the_picture_of_the_architecture_is_that_of_the_imports():
    uses = architecture.parts(GRAPH)  # KeyError: a module that is in no row of docs/architecture.md
    assert {f"ast2hf.{module}" for modules in architecture.listed().values() for module in modules} <= set(MODULES)
    assert circles(uses) == set()
    drawn = architecture.draw(uses)
    assert drawn == architecture.PICTURE.read_text(encoding="utf-8"), "PYTHONPATH=tests python -m support.architecture"


def test_an_import_that_the_picture_does_not_show_would_be_found():
    graph = {**GRAPH, "ast2hf.render.page": GRAPH["ast2hf.render.page"] | {"ast2hf.formats.base"}}
    assert architecture.draw(architecture.parts(graph)) != architecture.PICTURE.read_text(encoding="utf-8")


def test_results_import_nothing_of_the_package():
    assert GRAPH["ast2hf.results"] == set()


def test_views_read_results_alone():
    allowed = {"ast2hf.results", "ast2hf.errors", "ast2hf.privacy"}
    for name, imported in GRAPH.items():
        if name.startswith("ast2hf.render"):
            assert {i for i in imported if not i.startswith("ast2hf.render")} <= allowed, name


def test_nothing_but_the_command_knows_the_command():
    for name, imported in GRAPH.items():
        if not name.startswith(("ast2hf.cli", "ast2hf.sweep")):
            assert not {i for i in imported if i.startswith(("ast2hf.cli", "ast2hf.sweep"))}, name


def test_tracking_alone_imports_mlflow():
    for name, path in MODULES.items():
        if not name.startswith("ast2hf.tracking"):
            assert "import mlflow" not in path.read_text(encoding="utf-8"), name


def test_importing_the_package_is_quick():
    code = (
        "import sys, ast2hf\n"
        "assert ast2hf.convert and ast2hf.inspect and ast2hf.Inspection and ast2hf.verify\n"
        "assert not {'torch', 'transformers', 'mlflow', 'hydra'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
