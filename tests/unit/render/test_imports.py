import ast
from pathlib import Path

import ast2hf.render


def test_views_know_results_errors_and_each_other_alone():
    """Then whatever makes a report can show it, and nothing that is shown depends on how it came about."""
    allowed = ("ast2hf.results", "ast2hf.errors", "ast2hf.render")
    found = set()
    for path in Path(ast2hf.render.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ImportFrom():
                    found.add(node.module)
                case ast.Import():
                    found.update(alias.name for alias in node.names)
    assert "ast2hf.results" in found
    assert [name for name in found if name.startswith("ast2hf") and not name.startswith(allowed)] == []
