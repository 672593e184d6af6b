"""The stages on the terminal, and where there is none."""

import subprocess
import sys

import pytest
from support import ROOT

STAGE = """
import sys
from ast2hf.cli.progress import TerminalProgress
with TerminalProgress()("read", "Read it", bar=True) as stage:
    stage.progress(1, 2)
print("rich" in sys.modules)
"""


def run(code, **streams):
    environment = {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE, **streams)


def test_where_nobody_looks_a_stage_is_a_line_and_nothing_is_drawn():
    done = run(STAGE, stderr=subprocess.PIPE)
    assert done.stderr.startswith("Read it   ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == "False\n"


def test_on_a_terminal_it_is_drawn():
    pty = pytest.importorskip("pty")
    _, theirs = pty.openpty()
    done = run(STAGE, stderr=theirs)
    assert done.stdout == "True\n"
