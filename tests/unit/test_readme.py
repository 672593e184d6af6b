"""The README promises what is tested."""

import re

from conftest import ROOT
from support.fault_table import CASES

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_row_of_the_table_of_faults_has_a_test():
    table = README.partition("| case | what was done")[2].partition("\n\n")[0]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(CASES)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {int(number) for number in re.findall(r"mark\.fault\((\d+),", tests)} == set(CASES)


def test_every_command_of_make_is_told_of():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert [target for target in targets if f"make {target}" not in README] == ["clean"]
