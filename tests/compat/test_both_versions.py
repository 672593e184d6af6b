"""A folder converted here loads on transformers 4.57 and on the pinned 5.x, and computes the same on both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "load_folder.py"

ROUNDING = 1e-6
"""Both run on the same torch; only the order of float32 operations may differ."""

pytestmark = pytest.mark.compat


@pytest.fixture(params=["tiny", pytest.param("published size", marks=pytest.mark.full)])
def loaded(request, cli):
    """What both environments say of one folder: 4.57 first."""
    if request.param == "tiny":
        result = cli.tiny()
    else:
        result = cli("experiment=offline", "tracking=off", "model=ast_speech_commands_v2")
    assert result.code == 0, result.err
    (folder,) = (cli.outputs / "models").iterdir()
    pythons = request.config.getoption("--compat-python"), sys.executable
    return [
        json.loads(subprocess.check_output([python, SCRIPT, folder], text=True, env=cli.environment))
        for python in pythons
    ]


def test_both_load_everything_and_agree(loaded):
    old, new = loaded
    assert old.pop("version").startswith("4.57.")
    assert new.pop("version").startswith("5.")
    assert old["loading"] == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert old["problem_type"] == "multi_label_classification"
    assert max(abs(a - b) for a, b in zip(old.pop("logits"), new.pop("logits"), strict=True)) <= ROUNDING
    assert old == new
