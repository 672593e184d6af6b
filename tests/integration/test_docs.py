"""The commands of docs/ are run as they stand there."""

import re
import shlex
from dataclasses import replace

import pytest
from conftest import ROOT, TINY

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

PAGE = (ROOT / "docs" / "your-own-model.md").read_text(encoding="utf-8")

ESC50 = replace(TINY, num_labels=50, frequency_stride=10, time_stride=10, max_length=512)
"""The input of the authors' recipe for ESC-50."""


@pytest.fixture
def trained(cli):
    """A folder as a training leaves it, with the names of the page."""
    synthetic.write(cli.folder / "best_audio_model.pth", AST, ESC50, 1)
    rows = [f"{i},/m/{i},Sound {i}" for i in range(50)]
    (cli.folder / "labels.csv").write_text("\n".join(["index,mid,display_name", *rows]))
    return cli


def test_a_newcomer_who_follows_the_page_converts_a_model_and_goes_back(trained):
    commands = re.findall(r"(?m)^python convert\.py (.+)$", PAGE)
    back = re.search(r"`(task=restore [^`]+)`", PAGE)[1]
    assert len(commands) == 2
    for command in [*commands, back]:
        result = trained(*shlex.split(command), "tracking=off")
        assert result.code == 0, result.err
    assert "model.max_length=CHOOSE" in trained(*shlex.split(commands[0])).out
    assert (trained.model_folder("custom") / "model.safetensors").exists()
    assert (trained.folder / "restored.pth").exists()


def test_without_the_length_the_newcomer_is_asked(trained):
    command = re.findall(r"(?m)^python convert\.py (.+)$", PAGE)[1].replace("model.max_length=512 ", "")
    result = trained(*shlex.split(command), "tracking=off")
    assert result.code == 2
    assert "model.frequency_stride=10 model.time_stride=10 model.max_length=512" in result.err
    assert not trained.model_folder("custom").exists()
