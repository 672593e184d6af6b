import os
import subprocess
import sys
from pathlib import Path

import pytest

from ast2hf.errors import OutputError
from ast2hf.stdout import printing


def test_a_closed_stdout_is_an_output_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with (
        pytest.raises(OutputError, match=r"cannot write to stdout \(it is closed\); see the result in runs"),
        printing(Path("runs")),
    ):
        pass


@pytest.mark.parametrize("how", ["print('x')", "from rich.console import Console; Console().print('x')"])
def test_a_broken_pipe_is_an_output_error_of_its_own(how):
    code = f"from ast2hf.stdout import printing\nwith printing('runs'):\n    {how}"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert "ClosedPipeError: cannot write to stdout (Broken pipe); see the result in runs" in done.stderr


def test_termination_while_printing_is_not_an_output_error():
    with pytest.raises(SystemExit), printing(Path("runs")):
        sys.exit(143)
