"""Cases 62 to 64: what MLflow cannot take. Cases 60 and 61 are in tests/integration, with real servers."""

from __future__ import annotations

import os
import signal
import socket
import time

import mlflow
import pytest
import torch
from conftest import TINY_OVERRIDES

from ast2hf.tracking.record import MAX_PARAM

TRACKED = ("experiment=offline", *TINY_OVERRIDES)


@pytest.fixture
def store(cli):
    """The client of the store of ``cli``, and the runs in it, newest first."""

    def store():
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{cli.outputs}/mlflow.db")
        return client, client.search_runs([client.get_experiment_by_name("ast2hf").experiment_id])

    return store


@pytest.mark.fault(62, "a parameter of 7,000 characters, logits that are not finite")
def test_values_mlflow_cannot_store_are_left_to_the_report(cli, store, tiny_checkpoint, came_out):
    state = torch.load(tiny_checkpoint, weights_only=True)
    state["module.mlp_head.1.weight"].fill_(3e38)
    torch.save(state, cli.folder / "huge.pth")
    message = "x" * 7000
    result = cli(*TRACKED, "checkpoint=huge.pth", "verify.expected_logits=never", f"hub.commit_message={message}")
    assert result.code == 5, result.err
    _, (run,) = store()
    assert run.info.status == "FAILED"
    assert run.data.params["hub.commit_message"] == message[:MAX_PARAM]
    assert "logits.diff" not in run.data.metrics
    assert run.data.metrics["logits.passed"] == 0
    (report,) = cli.run_reports()
    failed = next(check for check in report["checks"].values() if check["status"] == "failed")
    assert failed["measured"]["max_abs_diff"] is None
    came_out(
        exit_code=result.code, run=run.info.status,
        characters_of_the_parameter=len(run.data.params["hub.commit_message"]),
        metrics_of_the_logits=[name for name in run.data.metrics if name.startswith("logits.")],
    )  # fmt: skip


@pytest.mark.fault(63, "an exception, SIGTERM, and a run that a killed process left RUNNING")
def test_runs_end(cli, store, came_out):
    assert cli(*TRACKED, "model.layer_norm_eps=1e-12").code == 5
    client, (failed,) = store()
    assert failed.info.status == "FAILED"

    owner = {"ast2hf.host": socket.gethostname(), "ast2hf.pid": str(2**22 + 1)}
    orphan = client.create_run(failed.info.experiment_id, tags=owner)
    command = cli.start(*TRACKED, "output_dir=b")
    while not list(cli.folder.glob(".b.*.staging")):
        assert command.is_running(), command.wait()
        time.sleep(0.005)
    os.kill(command.pid, signal.SIGTERM)
    ended = command.wait()
    assert ended.code == 143, ended.err
    _, runs = store()
    status = {run.info.run_id: run.info.status for run in runs}
    seen = [status[run_id] for run_id in (failed.info.run_id, orphan.info.run_id)]
    assert status.pop(failed.info.run_id) == "FAILED"
    assert status.pop(orphan.info.run_id) == "KILLED"
    (killed,) = status.values()
    assert killed == "KILLED"
    assert not (cli.folder / "b").exists()
    came_out(after_an_exception=seen[0], after_SIGTERM=killed, the_one_left_RUNNING=seen[1])


@pytest.mark.fault(64, "artifacts cannot be uploaded")
def test_artifacts_that_cannot_be_uploaded(cli, store, came_out):
    cli.outputs.mkdir()
    (cli.outputs / "mlartifacts").write_text("in the way")
    result = cli(*TRACKED)
    assert result.code == 0, result.err
    assert "not recorded: " in result.out
    assert (cli.model_folder() / "model.safetensors").exists()
    unsent = list(cli.outputs.glob("runs/*/unsent_record.json"))
    assert len(unsent) == 1

    (cli.outputs / "mlartifacts").unlink()
    again = cli("task=replay")
    assert again.code == 0, again.err
    assert "1 record sent to sqlite:///" in again.out
    client, (run,) = store()
    assert run.info.status == "FINISHED"
    assert "report.html" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
    came_out(result, records_kept=len(unsent), run_after_replay=run.info.status)
