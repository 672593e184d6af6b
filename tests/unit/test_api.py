"""Conversion and verification from Python, as a notebook does it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY_OVERRIDES
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import ast2hf
from ast2hf.errors import ConfigurationError, InputError, QuestionError, VerificationError

TINY = {"model": "ast_16_16", "labels": "none", "audio": "packaged", "overrides": TINY_OVERRIDES[1:]}


def test_a_checkpoint_becomes_a_proved_folder(tiny_checkpoint, tmp_path, capfd):
    done = ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", **TINY)
    assert isinstance(done, ast2hf.Conversion)
    assert done.folder == tmp_path / "out"
    assert (done.folder / "model.safetensors").exists()
    assert done.report.status == "passed"
    assert done.report.checks["logits"].max_abs_diff < 2e-5
    report = ast2hf.verify(
        done.folder, tiny_checkpoint, model="ast_16_16", audio="packaged", overrides=TINY_OVERRIDES[1:]
    )
    assert isinstance(report, ast2hf.Report)
    assert report.status == "passed"
    assert sorted(os.listdir(tmp_path)) == ["out", "tiny.pth"]
    assert capfd.readouterr() == ("", "")


def test_what_no_file_says_of_the_training_is_said_by_name(tiny_checkpoint, tmp_path):
    sizes = ["model.frequency_stride=16", "model.time_stride=16", "model.max_length=64"]
    own = {"model": "custom", "stats": "esc50", "loss": "ce", "audio": "packaged", "overrides": sizes}
    done = ast2hf.convert(tiny_checkpoint, labels="none", output_dir=tmp_path / "out", **own)
    assert done.report.front_end["mean"] == -6.6268077
    assert done.report.problem_type == "single_label_classification"
    assert ast2hf.verify(done.folder, tiny_checkpoint, **own).status == "passed"
    with pytest.raises(QuestionError, match="the file does not say which loss the model was trained with"):
        ast2hf.convert(tiny_checkpoint, labels="none", output_dir=tmp_path / "not", **{**own, "loss": None})


def test_the_folder_is_by_default_where_the_command_puts_it(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ast2hf.convert("tiny.pth", **TINY)
    assert done.folder == tmp_path / "outputs" / "models" / "ast-finetuned-audioset-16-16-0.442"


def test_a_path_may_hold_what_the_command_line_would_have_to_quote(tiny_checkpoint, tmp_path):
    odd = tmp_path / "a b,c=d${e}'.pth"
    tiny_checkpoint.rename(odd)
    assert ast2hf.convert(odd, output_dir=tmp_path / "x=1,2", **TINY).folder == tmp_path / "x=1,2"


def test_a_failed_proof_raises_with_the_report_and_publishes_nothing(tiny_checkpoint, tmp_path):
    overrides = [*TINY_OVERRIDES[1:], "model.layer_norm_eps=1e-12"]
    with pytest.raises(VerificationError) as caught:
        ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", **{**TINY, "overrides": overrides})
    assert caught.value.report.first_divergence == "blocks.0"
    assert caught.value.report.checks["last_hidden_state"].status == "failed"
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_checkpoint_does_not_verify(tiny_checkpoint, tmp_path):
    done = ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", **TINY)
    state = torch.load(tiny_checkpoint, weights_only=True)
    state["module.v.norm.bias"] += 1
    torch.save(state, tiny_checkpoint)
    with pytest.raises(VerificationError) as caught:
        ast2hf.verify(done.folder, tiny_checkpoint, model="ast_16_16", audio="packaged", overrides=TINY_OVERRIDES[1:])
    assert caught.value.report.checks["weights"].status == "failed"


STRIDES = ["model.frequency_stride=16", "model.time_stride=16", "model.max_length=64"]


def test_a_checkpoint_is_inspected(tiny_checkpoint, tmp_path, capfd):
    found = ast2hf.inspect(tiny_checkpoint, overrides=STRIDES)
    assert isinstance(found, ast2hf.Inspection)
    assert (found.verdict, found.family, found.reason) == ("recognised", "ast", None)
    assert found.geometry["num_labels"] == 7
    assert found.candidates == ()
    assert found.as_dict()["prefix"] == "module."
    assert f"model=custom checkpoint={tiny_checkpoint} model.frequency_stride=16" in found.command
    assert ast2hf.inspect(tiny_checkpoint).verdict == "ambiguous"
    assert capfd.readouterr() == ("", "")
    assert sorted(os.listdir(tmp_path)) == ["tiny.pth"]


def test_an_inspection_needs_no_hash_of_the_file(tiny_checkpoint, monkeypatch):
    def hashes(*_):
        raise AssertionError("it is hashed")

    monkeypatch.setattr("ast2hf.checkpoint.watched._sha256", hashes)
    assert ast2hf.inspect(tiny_checkpoint, overrides=STRIDES).verdict == "recognised"
    with pytest.raises(AssertionError, match="it is hashed"):  # the control
        ast2hf.convert(tiny_checkpoint, output_dir=tiny_checkpoint.parent / "out", **TINY)


def test_an_unconvertible_model_is_refused_but_a_broken_file_is_an_error(tmp_path):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    found = ast2hf.inspect(tmp_path / "other.pth")
    assert (found.verdict, found.command) == ("refused", None)
    assert "looks like an unknown model" in found.reason
    (tmp_path / "broken.pth").write_bytes(b"PK")
    with pytest.raises(InputError):
        ast2hf.inspect(tmp_path / "broken.pth")


def test_a_question_has_its_answers(tiny_checkpoint, tmp_path):
    with pytest.raises(QuestionError, match="the file does not say which loss the model was trained with") as caught:
        ast2hf.convert(
            tiny_checkpoint, model="custom", output_dir=tmp_path / "out", audio="packaged",
            overrides=["stats=esc50", *STRIDES],
        )  # fmt: skip
    assert [choice.override for choice in caught.value.question.choices] == ["loss=bce", "loss=ce"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ast_16_61"}, "did you mean ast_16_16"),
        ({"device": "gpu"}, "device=gpu is not a choice"),
        ({"overrides": ["model.max_lenght=3"]}, "did you mean model.max_length"),
        ({"overrides": ["model.std=0"]}, "model.std is 0.0"),
        ({"overrides": ["threads=2"]}, "threads can be set only on the command line"),
        ({"overrides": ["hub=push", "hub.repo_id=me/name"]}, "hub=push works only on the command line"),
    ],
)
def test_wrong_settings_are_the_errors_of_the_command(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        ast2hf.convert("x.pth", **arguments)


def test_a_missing_checkpoint_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"missing.pth cannot be read"):
        ast2hf.convert(tmp_path / "missing.pth", output_dir=tmp_path / "out", **TINY)


def state():
    """What a call must leave as it was."""
    return (
        dict(os.environ), Path.cwd(), list(sys.meta_path)[1:], sys.excepthook, sys.unraisablehook,
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), logging.raiseExceptions,
        logging.root.level, list(logging.root.handlers), logging.getLogger("transformers").level,
        torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.is_grad_enabled(),
    )  # fmt: skip


def test_the_process_and_the_callers_own_hydra_stay_as_they_are(tiny_checkpoint, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "theirs.yaml").write_text("answer: ${mine:}\n")
    OmegaConf.register_new_resolver("mine", lambda: 42, replace=True)
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        before = state()
        ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", **TINY)
        with pytest.raises(ConfigurationError):
            ast2hf.convert("x.pth", model="none such")
        assert state() == before
        assert GlobalHydra.instance().hydra is not None
        assert compose("theirs").answer == 42
    assert hydra is not None


def test_several_threads_convert_at_the_same_time(tiny_checkpoint, tmp_path):
    def convert(number):
        return ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / f"out{number}", **TINY).report.status

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(convert, range(3))) == ["passed"] * 3
    assert sorted(os.listdir(tmp_path)) == ["out0", "out1", "out2", "tiny.pth"]


def test_progress_is_given_to_whoever_asks(tiny_checkpoint, tmp_path):
    from ast2hf.progress import Progress

    progress = Progress()
    ast2hf.convert(tiny_checkpoint, output_dir=tmp_path / "out", progress=progress, **TINY)
    assert {"read", "convert", "verify", "publish"} <= set(progress.seconds)


def test_the_settings_come_with_the_package():
    from ast2hf.local_files import conf_folder

    assert conf_folder() == ROOT / "conf"
