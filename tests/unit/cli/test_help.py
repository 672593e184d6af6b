import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from ast2hf import __version__
from ast2hf.cli.main import main


@pytest.fixture(autouse=True)
def _own_signal_handler():
    """main() sets one for its process, which here is that of the tests."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def help_of(monkeypatch, capsys, *arguments, program="/usr/bin/ast2hf"):
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    assert main() == 0
    return capsys.readouterr().out


def test_help_names_the_program_the_groups_and_their_choices(monkeypatch, capsys):
    out = help_of(monkeypatch, capsys, "--help")
    for shown in ("  ast2hf experiment=offline", "Exit codes", "auto, cpu, cuda, mps", "none, push", "ast_16_16"):
        assert shown in out
    assert "{" not in out
    assert max(map(len, out.splitlines())) <= 110
    assert not [path.stem for path in (ROOT / "conf").glob("*/*.yaml") if path.stem not in out]


def test_in_a_clone_the_program_is_a_script(monkeypatch, capsys):
    assert "  python convert.py -m" in help_of(monkeypatch, capsys, "-h", program="/clone/convert.py")


@pytest.mark.parametrize("flag", [["--config-dir", "{}"], ["--config-dir={}"], ["-cd", "{}"]])
def test_the_choices_of_another_folder_are_listed_too(monkeypatch, capsys, tmp_path, flag):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").touch()
    arguments = [argument.format(tmp_path) for argument in flag]
    assert ", custom, mine" in help_of(monkeypatch, capsys, *arguments, "--help")


def test_help_imports_neither_hydra_nor_omegaconf():
    code = (
        "import sys; sys.modules['hydra'] = sys.modules['omegaconf'] = None; sys.argv = ['ast2hf', '--help']; "
        "from ast2hf.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage: ast2hf" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_said_in_one_line(tmp_path):
    command = [sys.executable, str(ROOT / "convert.py"), "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 6
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: cannot write to stdout (No space left on device); ")


EXITS_WITH_TEXT_UNWRITTEN = """
import sys
from ast2hf.cli import main
main._run = lambda: [print("help"), sys.exit(0)]
sys.exit(main.main())
"""
"""As Hydra does after its own help."""


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        ([ROOT / "convert.py", "--help"], [141]),
        ([ROOT / "convert.py", "--cfg", "job"], [141]),
        ([ROOT / "convert.py", "--info", "defaults"], [0, 141]),  # through logging, which ignores it
        ([ROOT / "convert.py", "--hydra-help"], [141]),
        (["-c", EXITS_WITH_TEXT_UNWRITTEN], [141]),
    ],
    ids=["--help", "--cfg", "--info", "--hydra-help", "exit"],
)
def test_a_reader_that_stops_reading_gets_no_traceback(arguments, codes, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)  # it stops before anything is written, so that nothing here is a matter of time
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in codes


def test_the_version_is_our_own(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ast2hf", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"ast2hf {__version__}\n"
