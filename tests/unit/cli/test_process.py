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
