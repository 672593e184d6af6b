"""The record in a real store: SQLite in a folder of the test's own."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from dataclasses import replace

import mlflow
import pytest
from conftest import compose
from support import reports

from ast2hf.errors import TrackingError
from ast2hf.results import INTERRUPTED, Block, CheckResult, Report
from ast2hf.tracking import record as records
from ast2hf.tracking import runs
from ast2hf.tracking.params import params


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """One store for all tests here: a fresh one costs seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def report():
    used = {"tolerance_used": 0.2}
    return Report(
        model="m", status="passed", device="cpu", source={"uri": "synthetic:0", "sha256": "ab12", "bytes": 7},
        clip="packaged", clip_sha256="0123456789abcdef0123",
        blocks=[Block("embeddings", 0.0, 0.0), Block("blocks.0", 1e-6, 2e-7), Block("pooled", math.nan, math.inf)],
        timings_s={"read": 0.5, "total": 2.0}, geometry={"hidden_size": 768},
        checks={
            "weights": CheckResult("weights", "written weights", "passed", None, {"bit_exact": 160}),
            "pooled": CheckResult("pooled", "pooled", "passed", None, {"max_abs_diff": 1e-6, **used}, {"atol": 5e-6}),
            "logits": CheckResult(
                "logits", "all logits", "failed", "it differs", {"max_abs_diff": math.nan}, {"atol": 2e-5, "rtol": 0.0}
            ),
            "loading": CheckResult("loading", "from_pretrained"),
            "features": CheckResult("features", "features", "not_applicable", "other", {"code": "numpy"}),
        },
    )  # fmt: skip


@pytest.fixture
def record(outputs, tmp_path, report):
    def record(*overrides: str):
        config = compose(f"paths.outputs={outputs}", *overrides)
        for name in ("conversion_report.json", "report.html"):
            (tmp_path / name).write_text(name)
        made = records.build(
            report, "m", time.time() - 5, params=params(config, report.geometry),
            artifacts=[tmp_path / "conversion_report.json", tmp_path / "report.html", tmp_path / "not there"],
        )  # fmt: skip
        address = runs.send(made, config.tracking, str(outputs), tmp_path).run
        client = mlflow.MlflowClient(tracking_uri=config.tracking.uri)
        return client, client.get_run(address.rpartition("/")[2].partition("?")[0])

    return record


def artifacts(client, run):
    return sorted(a.path for a in client.list_artifacts(run.info.run_id))


def test_everything_is_recorded(record, outputs):
    client, run = record()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "m"
    assert run.info.end_time - run.info.start_time >= 5000
    assert run.data.params["model.time_stride"] == "10"
    assert run.data.params["verify.tolerances.pooled.cpu.atol"] == "5e-06"
    assert run.data.tags["source.sha256"] == "ab12"
    assert run.data.tags["version.torch"]
    assert run.data.tags["mlflow.source.name"] == "ast2hf"
    assert run.data.tags["mlflow.note.content"].startswith("**passed** · m")
    assert run.data.tags["mlflow.user"]
    metrics = run.data.metrics
    assert metrics["pooled.diff"] == 1e-6
    assert metrics["pooled.atol"] == 5e-6
    assert metrics["pooled.tolerance_used"] == metrics["tolerance_used"] == pytest.approx(0.2)
    assert (metrics["passed"], metrics["failed"], metrics["not_checked"]) == (2, 1, 1)
    assert (metrics["pooled.passed"], metrics["logits.passed"]) == (1, 0)
    assert metrics["weights.bit_exact"] == 160
    assert metrics["logits.atol"] == 2e-5
    assert metrics["seconds.total"] == 2.0
    assert artifacts(client, run) == ["conversion_report.json", "report.html"]
    assert run.info.artifact_uri.startswith((outputs / "mlartifacts").as_uri())


def test_a_check_that_was_not_made_has_neither_passed_nor_failed(record):
    _, run = record()
    assert not [name for name in run.data.metrics if name.startswith(("loading.", "features."))]


def test_sizes_read_from_the_checkpoint_are_recorded(record):
    _, run = record("model=custom", "checkpoint=/home/alice/secret/best.pth")
    assert run.data.params["model.hidden_size"] == "768"
    assert run.data.params["checkpoint"] == "best.pth"


def test_what_the_proof_heard_is_an_input(record, report):
    _, run = record()
    report.evaluation = reports.evaluation()
    _, with_data = record()
    heard = [[(i.dataset.name, i.dataset.digest) for i in r.inputs.dataset_inputs] for r in (run, with_data)]
    assert heard[0] == [("packaged", "0123456789abcdef")]
    assert sorted(heard[1]) == [("esc50", "fedcba9876543210"), ("packaged", "0123456789abcdef")]
    assert json.loads(with_data.inputs.dataset_inputs[0].dataset.profile)["num_rows"] in (1, 2000)
    assert [tag.value for i in with_data.inputs.dataset_inputs for tag in i.tags] == ["proof", "proof"]
    assert with_data.data.metrics["mAP.difference"] == pytest.approx(-1e-4)
    assert with_data.data.tags["data_set"] == "esc50"


def test_what_a_sweep_came_to_is_told_at_its_end(outputs, record, tmp_path):
    """Its run was begun long before; sent again, it stays as it is."""
    client, run = record()
    settings = compose(f"paths.outputs={outputs}").tracking
    begun = records.start_parent(["model", "device"])
    runs.begin(begun, settings, str(outputs))
    ended = records.finish_parent(begun, True, {"jobs": 2}, [], "a table")
    for _ in range(2):
        runs.send(ended, settings, str(outputs), tmp_path)
    (found,) = client.search_runs([run.info.experiment_id], "attributes.run_name = 'sweep over model, device'")
    assert found.data.tags["mlflow.note.content"] == "a table"
    assert (found.data.tags["status"], found.info.status) == ("passed", "FINISHED")


def test_the_list_of_runs_opens_with_what_is_compared(record, outputs):
    client, run = record()
    tags = client.get_experiment(run.info.experiment_id).tags
    shown = json.loads(tags["mlflow.sharedViewState.ast2hf"])
    assert {name.split("`")[1] for name in shown["selectedColumns"]} & set(run.data.metrics) >= {"tolerance_used"}
    client.set_experiment_tag(run.info.experiment_id, "mlflow.sharedViewState.ast2hf", "of another version")
    record()
    assert client.get_experiment(run.info.experiment_id).tags == tags


def test_layers_are_steps(record):
    client, run = record()
    history = client.get_metric_history(run.info.run_id, "block.diff")
    assert [(m.step, m.value) for m in history] == [(0, 0.0), (1, 1e-6)]


def test_what_is_not_finite_is_left_to_the_report(record):
    _, run = record()
    assert "logits.diff" not in run.data.metrics
    assert all(math.isfinite(value) for value in run.data.metrics.values())


def test_a_failed_run_is_recorded_as_failed(record, report):
    report.status, report.error, report.first_divergence = "failed", "it differs", "blocks.0"
    _, run = record()
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "it differs"
    assert run.data.tags["first_divergence"] == "blocks.0"


def test_an_interrupted_run_is_recorded_as_killed(record, report):
    report.status, report.error = "failed", INTERRUPTED
    _, run = record()
    assert run.info.status == "KILLED"


def test_an_inherited_run_id_is_not_resumed(record, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    _, run = record()
    assert run.info.run_id != "0" * 32


def test_a_server_that_is_not_there_is_a_tracking_error(record):
    with pytest.raises(TrackingError, match="could not be recorded in MLflow"):
        record("tracking.uri=http://127.0.0.1:9")


def test_secrets_in_addresses_are_not_recorded(record):
    _, run = record("model=custom", "checkpoint='https://me:pw@host/a.pth?token=x'")
    assert run.data.params["checkpoint"] == "https://host/a.pth?…"


def test_a_long_parameter_is_cut(record):
    _, run = record("model=custom", f"checkpoint={'x' * 7000}")
    assert run.data.params["checkpoint"] == "x" * records.MAX_PARAM


@pytest.fixture
def orphan(outputs, record):
    """A run that a process left open; its tags are given."""

    def orphan(**tags: str) -> str:
        client, run = record()
        opened = client.create_run(run.info.experiment_id, tags={f"ast2hf.{k}": v for k, v in tags.items()})
        settings = compose(f"paths.outputs={outputs}").tracking
        runs.begin(records.start_parent(["next"]), settings, str(outputs))
        return client.get_run(opened.info.run_id).info.status

    return orphan


def test_a_run_left_open_by_a_killed_process_is_ended(orphan):
    assert orphan(host=socket.gethostname(), pid=str(2**22 + 1)) == "KILLED"


@pytest.mark.parametrize(("host", "pid"), [("elsewhere", "1"), (None, "own"), (None, "")])
def test_a_run_of_another_machine_or_a_living_process_is_left_alone(orphan, host, pid):
    pid = str(os.getpid()) if pid == "own" else pid
    assert orphan(host=host or socket.gethostname(), pid=pid) == "RUNNING"


def test_what_could_not_be_sent_is_sent_later_and_once(outputs, record, report):
    client, run = record()
    settings = compose(f"paths.outputs={outputs}")
    folder_of_run = outputs / "runs" / "a"
    folder_of_run.mkdir(parents=True)
    (folder_of_run / "conversion_report.json").write_text("{}")
    made = records.build(report, "late", time.time(), params={}, artifacts=[folder_of_run / "conversion_report.json"])
    experiments = [run.info.experiment_id]

    def named_late():
        return client.search_runs(experiments, "attributes.run_name = 'late'")

    records.save(made, folder_of_run)
    assert runs.replay(settings.tracking, str(outputs)) == 1
    assert [r.data.metrics["pooled.atol"] for r in named_late()] == [5e-6]
    assert [len(r.inputs.dataset_inputs) for r in named_late()] == [1]
    assert not (folder_of_run / records.UNSENT).exists()
    records.save(made, folder_of_run)  # as if the process had been killed before it removed the file
    assert runs.replay(settings.tracking, str(outputs)) == 1
    (once,) = named_late()
    assert once.info.status == "FINISHED"
    assert len(once.inputs.dataset_inputs) == 1
    assert len(client.get_metric_history(once.info.run_id, "block.diff")) == 2


def test_what_cannot_be_sent_does_not_keep_back_the_rest(tmp_path, record, outputs):
    record()
    settings = compose(f"paths.outputs={outputs}")
    for name in ("a", "b", "c"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    made = records.start_parent(["good"])
    records.save(made, tmp_path / "runs" / "a")
    (tmp_path / "runs" / "b" / records.UNSENT).write_text('{"key": ')
    records.save(replace(made, key="other", parent="gone"), tmp_path / "runs" / "c")
    with pytest.raises(TrackingError, match="sent 1 record, failed to send 2"):
        runs.replay(settings.tracking, str(tmp_path))
    left = sorted(path.parent.name for path in records.pending(tmp_path))
    assert left == ["b", "c"]


def test_a_conversion_whose_process_is_killed_while_it_sends_is_sent_later(tmp_path, record, outputs, monkeypatch):
    """Killed, or interrupted: nothing runs after that but what is on disk."""
    client, run = record()
    settings = compose(f"paths.outputs={outputs}").tracking
    made = records.start_parent(["interrupted"])
    folder_of_run = tmp_path / "runs" / "a"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(mlflow.MlflowClient, "log_batch", interrupted)
        runs.send(made, settings, str(outputs), folder_of_run)
    assert runs.replay(settings, str(tmp_path)) == 1
    (once,) = client.search_runs([run.info.experiment_id], "attributes.run_name = 'sweep over interrupted'")
    assert once.info.status == "KILLED"
