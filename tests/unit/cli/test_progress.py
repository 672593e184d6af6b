"""How far a stage is, on the terminal and in the log."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from support import ROOT

from ast2hf.cli import progress
from ast2hf.cli.progress import TerminalProgress
from ast2hf.progress import CLIPS

STAGE = """
import sys
from ast2hf.cli.progress import TerminalProgress
with TerminalProgress()("read", "Read it", bar='clips') as stage:
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


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_log_says_now_and_then_how_far_a_stage_is(clock, caplog):
    caplog.set_level(logging.INFO)
    with TerminalProgress()("data_set", "Run both models over 1000 clips", bar=CLIPS) as stage:
        stage.progress(200, 1000)  # done before
        for done in range(201, 261):
            clock[0] += 0.5
            stage.progress(done, 1000)
    said = [record.getMessage() for record in caplog.records]
    assert said[:3] == [
        "Run both models over 1000 clips: 220 of 1000, 2 clips/s, 6:30 left",
        "Run both models over 1000 clips: 240 of 1000, 2 clips/s, 6:20 left",
        "Run both models over 1000 clips: 260 of 1000, 2 clips/s, 6:10 left",
    ]
    assert len(said) == 4  # the seconds of the stage


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3723, "1:02:03")])
def test_time_left(seconds, shown):
    assert progress._clock(seconds) == shown


def test_a_stage_inside_another_is_shown_in_its_place(monkeypatch, capsys):
    shown = []
    for name in ("show", "hide"):
        monkeypatch.setattr(progress._Spinner, name, lambda self, name=name: shown.append(f"{name} {self._text}"))
    stages = TerminalProgress()
    with stages("outer", "outer"), stages("inner", "inner"):
        pass
    assert shown == ["show outer", "hide outer", "show inner", "hide inner", "show outer", "hide outer"]
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["inner", "outer"]
    assert set(stages.seconds) == {"outer", "inner", "total"}
