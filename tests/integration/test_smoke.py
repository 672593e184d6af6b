"""The handful of commands that make test runs beside the unit tests; make test-full runs all others."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import ROOT, TINY, TINY_OVERRIDES


def test_offline_conversion_shows_and_keeps_the_proof(cli):
    result = cli("experiment=offline", *TINY_OVERRIDES)
    assert result.code == 0, result.err
    report = json.loads((cli.model_folder() / "conversion_report.json").read_text())
    assert report["status"] == "passed"
    assert report["source"]["uri"] == "synthetic:0"
    assert report["checks"]["published_logits"]["status"] == "not_checked"
    for shown in (report["source"]["sha256"], "passed", "not checked", "LABEL_", str(cli.model_folder()), "mlflow ui"):
        assert shown in result.out
    assert "AutoModelForAudioClassification.from_pretrained" in result.out
    assert sorted(p.name for p in cli.outputs.iterdir()) == [
        ".mlflow.db.lock",
        "mlartifacts",
        "mlflow.db",
        "models",
        "runs",
    ]
    (run,) = cli.run_reports()
    assert run["status"] == "passed"


def test_a_users_own_model_with_labels(cli, tiny_checkpoint):
    with (cli.folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("index", "mid", "display_name"), *((i, f"/m/{i}", f"Sound, {i}") for i in range(TINY.num_labels))]
        )
    result = cli(
        "model=custom", f"checkpoint={tiny_checkpoint}", "labels=labels.csv", "tracking=off",
        "stats=audioset", "loss=bce", "model.frequency_stride=16", "model.time_stride=16", "model.max_length=64",
    )  # fmt: skip
    assert result.code == 0, result.err
    config = json.loads((cli.model_folder("custom") / "config.json").read_text())
    assert config["id2label"]["6"] == "Sound, 6"
    assert config["label2id"]["Sound, 6"] == 6
    assert (config["hidden_size"], config["num_hidden_layers"]) == (64, 2)
    assert "Sound, " in result.out


def test_what_a_file_is_and_the_command_that_converts_it(cli, tiny_checkpoint):
    result = cli("task=inspect", f"checkpoint={tiny_checkpoint}", "model.max_length=64")
    assert result.code == 0, result.err
    for shown in ("tiny.pth: ambiguous", "Audio Spectrogram Transformer (ast)", "64 wide, 2 blocks", "stats=CHOOSE"):
        assert shown in result.out
    command = next(line.strip() for line in result.out.splitlines() if "model=custom" in line)
    assert f"checkpoint={tiny_checkpoint}" in command
    chosen = {
        "model.frequency_stride=CHOOSE": "model.frequency_stride=16",
        "model.time_stride=CHOOSE": "model.time_stride=16",
        "stats=CHOOSE": "stats=audioset", "loss=CHOOSE": "loss=bce", "labels=CHOOSE": "labels=none",
    }  # fmt: skip
    for placeholder, answer in chosen.items():
        assert placeholder in command
        command = command.replace(placeholder, answer)
    program, overrides = command.split(" model=custom ")
    assert program == "python convert.py"
    result = cli("model=custom", *overrides.split(), "tracking=off")
    assert result.code == 0, result.err
    assert (cli.model_folder("custom") / "model.safetensors").exists()


def test_a_variant_is_one_file(cli):
    """Also in a folder of the user, where ``glob`` finds it."""
    folder = cli.folder / "mine" / "model"
    folder.mkdir(parents=True)
    published = (ROOT / "conf" / "model" / "ast_16_16.yaml").read_text(encoding="utf-8")
    (folder / "ast_mine.yaml").write_text(published.replace("ast-finetuned-audioset-16-16-0.442", "my-own"))
    own = ("--config-dir=mine", "experiment=offline", "tracking=off", *TINY_OVERRIDES[1:])
    result = cli(*own, "-m", "model=glob(ast_m*)")
    assert result.code == 0, result.err
    report = json.loads((cli.model_folder("my-own") / "conversion_report.json").read_text())
    assert (report["model"], report["status"]) == ("my-own", "passed")


def test_help_shows_examples_and_choices(cli):
    result = cli.cold("--help")
    for shown in ("python convert.py experiment=offline", "ast_16_16", "Exit codes", "auto, cpu, cuda, mps"):
        assert shown in result.out


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["modl=x"], "unknown key modl; did you mean model?"),
        (3, ["checkpoint=absent.pth"], "absent.pth cannot be read (No such file or directory)"),
        (4, ["labels=null"], "label file audioset-id2label.json of huggingface/label-files cannot be downloaded"),
        (5, ["model.layer_norm_eps=1e-12"], "first divergence: blocks.0"),
        (6, ["output_dir=."], "is the working directory or contains it"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_its_exit_code(cli, code, arguments, message):
    result = cli.tiny(*arguments)
    assert result.code == code, result.err
    assert message in result.error_line
    assert "; " in result.error_line
    assert not list(cli.folder.rglob("*.safetensors"))
    assert not list(cli.folder.rglob("*.staging"))


def test_a_dry_run_writes_no_model(cli):
    result = cli.tiny("dry_run=true")
    assert "64 wide, " in result.out
    assert ", 7 classes" in result.out
    assert result.code == 0, result.err
    assert "planned, nothing written" in result.out
    assert not (cli.outputs / "models").exists()
