import os
import subprocess
import sys

import pytest
from support import ROOT

LATE = "import torch; from ast2hf.cli import process; process.set_threads(1)"
EARLY = "from ast2hf.cli import process; process.set_threads(1); import torch"


@pytest.mark.parametrize("code", [EARLY, LATE])
def test_the_threads_are_set_before_and_after_torch_is_imported(code):
    show = "; print(torch.get_num_threads())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code + show], env=environment, capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


WARN = """
import logging, sys, warnings
from ast2hf.cli import process
process.tune_process()
process.warnings_to_log()
logging.basicConfig(filename=sys.argv[1])
warnings.warn("of the library", UserWarning)
"""


def test_library_warnings_go_to_the_log_not_the_terminal(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-W", "always", "-c", WARN, str(tmp_path / "log")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert "UserWarning: of the library" in (tmp_path / "log").read_text()


def test_transformers_is_imported_without_scipy_which_is_there_again_afterwards():
    code = (
        "from ast2hf.cli import process\n"
        "with process.without_scipy():\n"
        "    from ast2hf.formats.huggingface import loading\n"
        "import sys; print('scipy' in sys.modules)\n"
        "import scipy.optimize\n"
        "with process.without_scipy():\n"
        "    import scipy.special\n"
        "print(scipy.optimize is sys.modules['scipy.optimize'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "False\nTrue\n", done.stderr
