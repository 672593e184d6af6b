"""Pushing as a user does it: the command line, a Hub on loopback, and what others then get from there."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import mlflow
import pytest
from conftest import ROOT, TINY, TINY_OVERRIDES
from huggingface_hub import snapshot_download
from support.hub_server import WRITER, Fault, HubServer

from ast2hf.formats.huggingface import names
from ast2hf.output.up_to_date import file_hashes

LOAD = ROOT / "tests" / "compat" / "load_folder.py"


@pytest.fixture
def hub(tmp_path):
    with HubServer(tmp_path / "hub") as hub:
        yield hub


def loaded(cli, place, **environment):
    """What transformers makes of a folder or a repository, in a process that knows nothing of ast2hf."""
    done = subprocess.run(
        [sys.executable, LOAD, str(place)], capture_output=True, text=True, env={**cli.environment, **environment}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_pushed_model_loads_by_its_name_and_is_proved_again(cli, hub, tiny_checkpoint, tmp_path):
    result = cli.tiny(
        f"checkpoint={tiny_checkpoint}", "labels=none", "hub=push", "hub.repo_id=me/tiny", **hub.environment()
    )
    assert result.code == 0, result.err
    (commit,) = hub.repos["model", "me/tiny"].history()
    assert f"hub        {hub.url}/me/tiny (commit {commit.oid})" in result.out
    assert WRITER not in result.out + result.err

    local = loaded(cli, cli.model_folder())
    remote = loaded(cli, "me/tiny", **hub.environment(), HF_HOME=str(tmp_path / "another home"))
    assert remote == local
    assert len(remote["logits"]) == TINY.num_labels

    fetched = tmp_path / "fetched"
    with hub.of_this_process(HF_HOME=str(tmp_path / "home of this process")):
        snapshot_download("me/tiny", local_dir=fetched)
    report = json.loads((fetched / "conversion_report.json").read_text())
    assert file_hashes(fetched, names.MODEL_FILES) == report["files"]
    assert 'folder = "me/tiny"' in (fetched / "README.md").read_text()
    assert "me/tiny" not in (cli.model_folder() / "README.md").read_text()

    # What the Hub gives back, against the checkpoint and the original architecture.
    again = cli.tiny(
        "task=verify", "folder=me/tiny", f"checkpoint={tiny_checkpoint}", **hub.environment(),
        HF_HOME=str(tmp_path / "a third home"),
    )  # fmt: skip
    assert again.code == 0, again.err
    assert cli.run_reports()[-1]["checks"]["logits"]["status"] == "passed"


def test_a_push_that_fails_loses_neither_folder_nor_record_and_is_made_good_later(cli, hub, tiny_checkpoint):
    command = ["experiment=offline", *TINY_OVERRIDES, f"checkpoint={tiny_checkpoint}", "hub=push", "hub.repo_id=me/t"]
    hub.faults.append(Fault("POST", "/commit/", 500))
    failed = cli(*command, **hub.environment())
    assert failed.code == 8
    assert failed.error_line.startswith("error: saved locally, not pushed to me/t (status 500: as told); ")
    assert "all logits" in failed.out
    assert f"folder     {cli.model_folder()}" in failed.out
    assert "hub   " not in failed.out
    before = {p.name: p.read_bytes() for p in cli.model_folder().iterdir()}
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{cli.outputs}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("ast2hf").experiment_id])
    assert run.info.status == "FINISHED"
    assert cli.run_reports()[0]["status"] == "passed"

    hub.faults.clear()
    result = cli(*command, "skip_existing=true", **hub.environment())
    assert result.code == 0, result.err
    assert "Write 43 tensors" not in result.err
    (commit,) = hub.repos["model", "me/t"].history()
    assert sorted(commit.files) == sorted([".gitattributes", *before])
    assert {p.name: p.read_bytes() for p in cli.model_folder().iterdir()} == before

    again = cli(*command, "skip_existing=true", **hub.environment())
    assert again.code == 0, again.err
    assert f"{hub.url}/me/t (commit {commit.oid})" in again.out
    assert hub.repos["model", "me/t"].history() == [commit]


SWEEP = ("-m", "model=ast_12_12,ast_16_16", "experiment=offline", "tracking=off", *TINY_OVERRIDES[1:], "hub=push")


def test_each_job_of_a_sweep_has_its_own_repository(cli, hub):
    hub.faults.append(Fault("POST", "/commit/", 403, times=1))
    result = cli(*SWEEP, "model.num_mel_bins=32", "hub.repo_id=me/${model.name}", **hub.environment())
    assert result.code == 8
    names = ["ast-finetuned-audioset-12-12-0.447", "ast-finetuned-audioset-16-16-0.442"]
    assert sorted(name for _, name in hub.repos) == [f"me/{name}" for name in names]
    assert [len(hub.repos["model", f"me/{name}"].history()) for name in names] == [0, 1]
    (path,) = cli.outputs.glob("multiruns/*/summary.csv")
    with path.open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["status"], second["status"]) == ("not pushed", "passed")
    assert "saved locally, not pushed to me/ast-finetuned-audioset-12-12-0.447" in first["error"]
    assert sorted(p.name for p in (cli.outputs / "models").iterdir()) == names


def test_jobs_of_a_sweep_may_not_share_a_repository(cli, hub):
    result = cli(*SWEEP, "hub.repo_id=me/all", **hub.environment())
    assert result.code == 2
    assert "error: hub.repo_id is the same for all jobs of the sweep; use one per job, with " in result.err
    assert hub.requests == []
    assert not (cli.outputs / "models").exists()


def test_a_name_of_the_model_does_not_distinguish_checkpoints(cli, hub):
    checkpoints = "checkpoint=synthetic:1,synthetic:2"
    result = cli(*TINY_OVERRIDES, "-m", checkpoints, "hub=push", "hub.repo_id='me/${model.name}'", **hub.environment())
    assert result.code == 2
    remedy = "use one per job, with 'hub.repo_id=me/name-${hydra:job.num}'"
    assert f"error: hub.repo_id is the same for all jobs of the sweep; {remedy}" in result.err
    assert hub.requests == []


def test_jobs_may_be_distinguished_by_their_number(cli, hub):
    arguments = ["experiment=offline", "tracking=off", *TINY_OVERRIDES, "-m", "checkpoint=synthetic:1,synthetic:2"]
    result = cli(*arguments, "hub=push", "hub.repo_id=me/tiny-${hydra:job.num}", **hub.environment())
    assert result.code == 0, result.err
    assert sorted(name for _, name in hub.repos) == ["me/tiny-0", "me/tiny-1"]


def test_synthetic_weights_are_not_pushed_to_a_public_repository(cli, hub):
    hub.repo("me/public")
    result = cli.tiny("checkpoint=synthetic:1", "hub=push", "hub.repo_id=me/public", **hub.environment())
    assert result.code == 8
    expected = "error: saved locally, not pushed: me/public is public, and the weights are synthetic"
    assert result.error_line.startswith(expected)
    assert not any("/commit/" in request.path for request in hub.requests)


@pytest.mark.parametrize("published", [False, True])
def test_a_dry_run_pushes_nothing(cli, hub, published):
    if published:
        assert cli.tiny().code == 0
    result = cli.tiny(
        "dry_run=true", "skip_existing=true", "hub=push", "hub.repo_id=me/tiny", **hub.environment()
    )  # fmt: skip
    assert result.code == 0, result.err
    assert hub.requests == []
