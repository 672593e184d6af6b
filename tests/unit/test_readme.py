"""The README promises what is tested."""

import ast
import re

from conftest import ROOT
from support.fault_table import CASES

README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
"""In the order in which pytest runs them."""


def calls(name):
    """All calls of a function or mark of this name in the tests."""
    found = [node for module in MODULES for node in ast.walk(module) if isinstance(node, ast.Call)]
    return [call for call in found if name == getattr(call.func, "attr", getattr(call.func, "id", None))]


def test_the_table_of_faults_has_the_cases_of_the_tests_in_their_words():
    tested = {}
    for mark in calls("fault"):
        if isinstance(mark.func, ast.Attribute):  # pytest.mark.fault
            number, done = (argument.value for argument in mark.args)
            tested.setdefault(number, done)
    table = README.partition("| case | what was done")[2].partition("\n\n")[0]
    rows = {int(number): done for number, done in re.findall(r"^\| (\d+) \| (.*?) \|", table, re.MULTILINE)}
    assert rows == tested
    assert list(rows) == list(CASES)


def is_measured(value):
    """No text of the test's own: its literals, and the words between the values of an f-string."""
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    return not any(isinstance(part, ast.Constant) for part in parts)


def test_no_test_writes_itself_what_came_out():
    told = [call for call in calls("came_out") if call.args or call.keywords]
    assert len(told) > len(CASES)
    for call in told:
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        assert all(map(is_measured, values)), ast.unparse(call)


def test_every_command_of_make_is_told_of():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert [target for target in targets if f"make {target}" not in README] == ["clean"]
