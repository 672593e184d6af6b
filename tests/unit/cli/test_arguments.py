import re

import pytest
from omegaconf import OmegaConf

from ast2hf.cli import arguments
from ast2hf.errors import ConfigurationError


@pytest.mark.parametrize(
    "given", ["debug=true", "debug=True", "debug=1", "debug=yes", "+debug=true", "++debug=true", "debug='true'"]
)
def test_debug_is_noticed_however_it_is_written(given):
    assert arguments.wants_debug(["model=x", given])


@pytest.mark.parametrize(
    "given", ["debug=false", "debug=0", "debug=null", "debug=maybe", "debug=", "x.debug=true", "debug"]
)
def test_settings_that_are_not_debug(given):
    assert not arguments.wants_debug(["model=x", given])


@pytest.mark.parametrize(
    ("content", "override", "expected"),
    [
        ("debug: true", [], True),
        ("debug: false", [], False),
        ("debug: true", ["debug=false"], False),
        ("checkpoint: x", [], False),
        ("debug: true\nnonsense: [", [], False),
    ],
)
def test_debug_in_an_experiment(tmp_path, content, override, expected):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{content}\n")
    given = ["--config-dir", str(tmp_path), "experiment=mine", *override]
    assert arguments.wants_debug(given) == expected
    assert not arguments.wants_debug(["experiment=mine"])


@pytest.mark.parametrize(
    ("given", "added"),
    [
        (["task=inspect", "checkpoint=a.pth"], True),
        (["task=inspect", "model=ast_16_16"], False),
        (["task=inspect", "sweep=all"], False),
        (["checkpoint=a.pth"], False),
    ],
)
def test_an_inspection_is_not_of_the_default_model(given, added):
    assert arguments.with_model(given) == given + ["model=custom"] * added


def test_flags_come_first():
    assert arguments.flags_first(["a=1", "-m", "b=2", "--multirun"]) == ["-m", "--multirun", "a=1", "b=2"]


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        (
            'checkpoint="https://h/a.pth?k=v"',
            "export CHECKPOINT_URL='…', and set checkpoint='${oc.env:CHECKPOINT_URL}'",
        ),
        ("checkpoint=https://u:p@h/a.pth", "set checkpoint='${oc.env:CHECKPOINT_URL}'"),
        ("https://u:p@h/a.pth", "set checkpoint='${oc.env:CHECKPOINT_URL}'"),
        ("+model.url=https://h/a.pth?k=v", "export MODEL_URL='…'"),
        ("tracking.uri=http://u:p@h:5000", "export TRACKING_URI='…', and set tracking.uri='${oc.env:TRACKING_URI}'"),
        ("checkpoint=a.pth,'https://h/b?k=1'", "set checkpoint="),
        ("labels=hf_abcdefghijkl", "export HF_TOKEN"),
    ],
)
def test_secrets_on_the_command_line_are_refused_with_the_remedy(argument, remedy):
    with pytest.raises(ConfigurationError) as caught:
        arguments.require_no_secrets(["model=x", argument])
    assert remedy in str(caught.value)
    assert "k=v" not in str(caught.value)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "argument",
    [
        "checkpoint=https://h/a.pth",
        'checkpoint="https://h/a.pth?dl=1"',
        "checkpoint=${oc.env:CHECKPOINT_URL}",
        "--help",
    ],
)
def test_arguments_without_secrets_are_accepted(argument):
    arguments.require_no_secrets([argument])


def test_the_remedy_gives_hydra_the_address_as_it_is(monkeypatch):
    address = "https://user:p,w=[x]@h/a.pth?k=v&dl=1#'\""
    monkeypatch.setenv("CHECKPOINT_URL", address)
    assert OmegaConf.create({"checkpoint": "${oc.env:CHECKPOINT_URL}"}).checkpoint == address


@pytest.mark.parametrize("setting", ["checkpoint=a.pth", "model=custom", "tracking.uri=x"])
def test_a_setting_with_dashes_is_told_to_have_none(setting):
    with pytest.raises(
        ConfigurationError, match=re.escape(f"--{setting.partition('=')[0]} is not an option; write {setting}")
    ):
        arguments.require_no_dashes(["task=inspect", f"--{setting}"])
    arguments.require_no_dashes([setting, "--config-dir=mine", "--info=all", "--cfg", "job", "--multirun"])
