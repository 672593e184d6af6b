"""``task=verify`` on the command line: a folder that somebody else made, against the checkpoint it was made from."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import TINY, Cli
from support.hub_server import HubServer

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a checkpoint, and the model folder that was made of it."""
    parent = tmp_path_factory.mktemp("made")
    synthetic.write(parent / "tiny.pth", AST, TINY, 1)
    cli = Cli.make(parent)
    result = cli.tiny(f"checkpoint={parent / 'tiny.pth'}")
    assert result.code == 0, result.err
    shutil.move(cli.model_folder(), parent / "model")
    return parent


@pytest.fixture
def folder(made, cli):
    return shutil.copytree(made / "model", cli.folder / "theirs")


@pytest.fixture
def verify(made, cli):
    """Verify ``folder``; the result. Nothing may be written but the folder of the run."""

    def content():
        kept = (p for p in cli.folder.parent.rglob("*") if cli.outputs not in (p, *p.parents))
        return {path: path.read_bytes() if path.is_file() else None for path in kept}

    def verify(folder, *arguments, **environment):
        before = content()
        result = cli.tiny(
            "task=verify", f"folder={folder}", f"checkpoint={made / 'tiny.pth'}", *arguments, **environment
        )
        assert content() == before
        assert [path.name for path in cli.outputs.iterdir()] == ["runs"]
        (run,) = (cli.outputs / "runs").iterdir()
        assert {path.name for path in run.iterdir()} <= {".hydra", "ast2hf.log", "conversion_report.json"}
        return result

    return verify


def changed_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_folder_that_was_made_here_is_right(verify, folder, cli):
    result = verify(folder)
    assert result.code == 0, result.err
    (report,) = cli.run_reports()
    assert report["status"] == "passed"
    compared = ("coverage", "weights", "loading", "features", "last_hidden_state", "pooled", "logits", "end_to_end")
    assert [report["checks"][name]["status"] for name in compared] == ["passed"] * len(compared)
    assert "all logits" in result.out


def test_an_encoder_alone_is_right(verify, cli):
    result = cli.tiny("model.head=none", "checkpoint=synthetic:1", "output_dir=encoder")
    assert result.code == 0, result.err
    shutil.rmtree(cli.outputs)
    result = verify(cli.folder / "encoder", "checkpoint=synthetic:1")
    assert result.code == 0, result.err
    (report,) = cli.run_reports()
    assert (report["head"], report["checks"]["logits"]["status"]) == ("none", "not_applicable")
    assert report["checks"]["pooled"]["status"] == "passed"


def test_another_epsilon_fails_and_what_it_costs_is_said(verify, folder, cli):
    changed_config(folder, layer_norm_eps=1e-12)
    result = verify(folder)
    assert result.code == 5, result.err
    assert "the proof failed at last_hidden_state (last hidden state)" in result.error_line
    note = "the folder's layer_norm_eps differs from the original's 1e-06: the logits differ by "
    assert note in result.out
    (report,) = cli.run_reports()
    logits = report["checks"]["logits"]
    assert (report["status"], logits["status"]) == ("failed", "failed")
    assert logits["measured"]["max_abs_diff"] > 1e-4 > logits["measured"]["max_abs_diff_with_original_epsilon"]
    assert [text for text in report["notes"] if text.startswith(note)]


def test_one_flipped_bit_fails(verify, folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = verify(folder)
    assert result.code == 5, result.err
    assert "the proof failed at weights" in result.error_line


@pytest.mark.parametrize(("epsilon", "code"), [(1e-6, 0), (1e-12, 5)])
def test_a_model_on_the_hub(verify, made, tmp_path, tmp_path_factory, epsilon, code):
    cache = tmp_path_factory.mktemp("hf")
    theirs = shutil.copytree(made / "model", cache / "theirs")
    changed_config(theirs, layer_norm_eps=epsilon)
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        files = {path.name: path.read_bytes() for path in theirs.iterdir()}
        large = {"model.safetensors": hub.keep(files["model.safetensors"])}
        hub.repo("them/ast").commit("main", "their model", {**files, **large})
        result = verify("them/ast", **hub.environment(None), HF_HOME=str(cache))
        assert result.code == code, result.err
        assert {request.method for request in hub.requests} <= {"GET", "HEAD"}


def test_a_model_that_is_not_on_the_hub(verify, tmp_path_factory):
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        result = verify("them/nothing", **hub.environment(None), HF_HOME=str(tmp_path_factory.mktemp("hf")))
    assert result.code == 4, result.err
    assert "folder them/nothing cannot be downloaded" in result.error_line


def no_config(folder):
    (folder / "config.json").unlink()


def broken_config(folder):
    (folder / "config.json").write_text("{")


def another_model(folder):
    changed_config(folder, architectures=["ViTForImageClassification"])


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def no_extractor(folder):
    (folder / "preprocessor_config.json").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, "theirs does not exist"),
        (no_config, "theirs has no readable config.json"),
        (broken_config, "theirs has no readable config.json"),
        (another_model, "theirs is not an Audio Spectrogram Transformer (ViTForImageClassification)"),
        (no_weights, "theirs has no readable model.safetensors"),
        (no_extractor, "theirs has no preprocessor_config.json"),
    ],
)
def test_a_folder_that_is_not_a_model(verify, folder, change, message):
    change(folder)
    result = verify(folder)
    assert result.code == 3, result.err
    assert message in result.error_line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["task=verify"], "task=verify needs a folder"),
        (["folder=theirs"], "folder is only for task=verify and task=restore"),
    ],
)
def test_folder_and_task_belong_together(cli, arguments, message):
    result = cli.tiny(*arguments)
    assert result.code == 2, result.err
    assert message in result.error_line
    assert not (cli.outputs / "models").exists()
