"""A server that is not there, or not well: the conversion is published all the same, and its record is sent later."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from dataclasses import replace

import httpx
import mlflow
import pytest
from conftest import Cli, compose
from support.mlflow_server import MlflowServer, Proxy
from support.servers import Reply, Server

from ast2hf.errors import TrackingError
from ast2hf.tracking import record as records
from ast2hf.tracking import runs as tracked

pytestmark = [
    pytest.mark.fault(61, "a server that refuses, stalls, dies in the middle, answers 500"),
    pytest.mark.long,
]

QUICK = 5
"""Seconds that a request may stay without an answer; there are three of them before it counts as failed."""

BOUND = 3 * QUICK + 3 + 60
"""Seconds that a fault may cost: three requests, the pauses between them, and what a busy machine adds."""

CREATE, BATCH, END = "POST .*/runs/create$", "POST .*/runs/log-batch$", "POST .*/runs/update$"
LAST_ARTIFACT = "PUT .*/README.md$"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server on a store of its own."""
    folder = tmp_path_factory.mktemp("server")
    with MlflowServer(folder, f"sqlite:///{folder}/server.db", str(folder / "artifacts")) as server:
        yield server


@pytest.fixture
def proxy(server):
    with Proxy(server.url) as proxy:
        yield proxy
    server.start()  # where the test has killed it


def recorded(server, experiment):
    """All runs of an experiment, also those that are open or failed, and a client to look closer."""
    client = mlflow.MlflowClient(tracking_uri=server.url)
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id]) if found else []


def check_whole(client, run, run_folder, tmp_path):
    """All of a conversion has arrived, once, byte for byte."""
    assert run.info.status == "FINISHED"
    assert run.data.params["model.patch_size"] == "16"
    history = client.get_metric_history(run.info.run_id, "block.diff")
    assert [m.step for m in history] == list(range(len(history)))
    assert len(history) >= 4
    names = sorted(a.path for a in client.list_artifacts(run.info.run_id))
    assert names == ["README.md", "conversion_report.json", "report.html"]
    there = tmp_path / "downloaded"
    client.download_artifacts(run.info.run_id, "", str(there.mkdir() or there))
    for name in ("conversion_report.json", "report.html"):
        sent, local = (there / name).read_bytes(), (run_folder / name).read_bytes()
        if name == "conversion_report.json":  # the local one is written again with the time that the sending took
            sent, local = ({**json.loads(text), "timings_s": None} for text in (sent, local))
        assert sent == local, name
    shutil.rmtree(there)


def run_folders(cli):
    """Of the conversions, oldest first."""
    return sorted(path.parent for path in cli.outputs.glob("runs/*/conversion_report.json"))


def fault(how, server, proxy):
    return {"500": lambda *_: httpx.Response(500), "stalled": proxy.stall, "died": lambda *_: server.kill()}[how]


def convert(cli, url, experiment, *arguments):
    quick = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(QUICK)}
    told = (f"tracking.uri='{url}'", f"tracking.experiment={experiment}")
    result = cli.tiny("tracking=mlflow", *told, *arguments, **quick)
    assert result.code == 0, result.err
    return result


def replay(cli, server, experiment, count):
    result = cli("task=replay", f"tracking.uri='{server.url}'", f"tracking.experiment={experiment}")
    assert result.code == 0, result.err
    assert ("1 record sent" if count == 1 else f"{count} records sent") in result.out
    assert not list(cli.outputs.rglob("unsent_record.json"))


def test_refused_and_stalled_from_the_start(cli, server, tmp_path, free_port, came_out):
    """``/health`` fails in three ways; what is left is sent with one replay."""
    with Server() as broken, Proxy("http://127.0.0.1:9") as silent:
        broken.replies["/health"] = [Reply(500)]
        silent.where, silent.fault = "/health", silent.stall
        for number, url in enumerate((f"http://127.0.0.1:{free_port}", broken.url, silent.url)):
            result = convert(cli, url, "start", f"output_dir=outputs/models/{number}")
            assert (cli.model_folder(str(number)) / "model.safetensors").exists()
            assert "not recorded" in result.out
            assert "task=replay" in result.out
            kept = len(list(cli.outputs.glob("runs/*/unsent_record.json")))
            assert kept == number + 1
    replay(cli, server, "start", 3)
    client, runs = recorded(server, "start")
    for run, folder in zip(reversed(runs), run_folders(cli), strict=True):
        check_whole(client, run, folder, tmp_path)
    came_out(result, records_kept=kept, runs_after_replay=[run.info.status for run in runs])


@pytest.mark.parametrize("how", ["stalled", "died"])
def test_a_conversion_whose_server_fails_in_the_middle(cli, server, proxy, tmp_path, how):
    proxy.where, proxy.fault = LAST_ARTIFACT, fault(how, server, proxy)
    result = convert(cli, proxy.url, how)
    assert (cli.model_folder() / "model.safetensors").exists()
    assert "not recorded" in result.out

    server.start()
    replay(cli, server, how, 1)
    client, (run,) = recorded(server, how)
    (run_folder,) = run_folders(cli)
    check_whole(client, run, run_folder, tmp_path)


@pytest.fixture(scope="module")
def conversion(tmp_path_factory):
    """The run folder of a conversion whose record could not be sent."""
    cli = Cli.make(tmp_path_factory.mktemp("conversion"))
    convert(cli, "http://127.0.0.1:9", "ast2hf")
    (folder,) = run_folders(cli)
    return folder


@pytest.fixture
def record(conversion, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(QUICK))
    return replace(records.saved(conversion / records.UNSENT), key=uuid.uuid4().hex)


def settings(url, experiment):
    return compose("tracking=mlflow", f"tracking.uri='{url}'", f"tracking.experiment={experiment}").tracking


@pytest.mark.parametrize(("where", "how"), [(CREATE, "stalled"), (BATCH, "500"), (END, "500"), (END, "died")])
def test_sending_ends_in_bounded_time_and_goes_on_with_the_same_run(
    conversion, record, server, proxy, tmp_path, where, how
):
    experiment = f"{how}-{where[-10:-1].replace('/', '-')}"
    folder = tmp_path / "outputs" / "runs" / "one"
    proxy.where, proxy.fault = where, fault(how, server, proxy)
    start = time.monotonic()
    with pytest.raises(TrackingError, match="could not be recorded in MLflow"):
        tracked.send(record, settings(proxy.url, experiment), str(tmp_path), folder)
    assert time.monotonic() - start < BOUND
    assert (folder / records.UNSENT).exists()

    server.start()
    client, begun = recorded(server, experiment)
    assert len(begun) == (where != CREATE)
    for count in (1, 0):
        assert tracked.replay(settings(server.url, experiment), str(tmp_path / "outputs")) == count
    client, (run,) = recorded(server, experiment)
    assert [run.info.run_id] == [other.info.run_id for other in begun or [run]]
    check_whole(client, run, conversion, tmp_path)


def test_a_run_whose_creation_was_done_but_not_answered_is_made_once(conversion, record, server, proxy, tmp_path):
    asked = []

    def answer_lost(_, forward):
        asked.append(forward().status_code)
        proxy.fault = None

    proxy.where, proxy.fault = CREATE, answer_lost
    tracked.send(record, settings(proxy.url, "lost"), str(tmp_path), tmp_path)
    assert asked == [200]
    client, (run,) = recorded(server, "lost")
    check_whole(client, run, conversion, tmp_path)


def test_a_server_that_asks_for_an_hour_is_not_given_it(record, tmp_path):
    with Server() as busy:
        busy.replies["/health"] = [Reply(200)]
        busy.replies["/api/2.0/mlflow/experiments/get-by-name"] = [Reply(503, headers={"Retry-After": "3600"})]
        start = time.monotonic()
        with pytest.raises(TrackingError, match="could not be recorded in MLflow"):
            tracked.send(record, settings(busy.url, "busy"), str(tmp_path), tmp_path)
    assert time.monotonic() - start < BOUND


@pytest.mark.parametrize("dies_at", ["start", "middle"])
def test_a_sweep_whose_server_dies(cli, server, proxy, dies_at):
    """Before its first job, or with a run of it half sent: in the end the jobs are nested, and the table is there."""
    experiment = f"sweep-{dies_at}"
    proxy.where = CREATE if dies_at == "start" else LAST_ARTIFACT
    proxy.fault = fault("died", server, proxy)
    sweep = ("-m", "checkpoint=synthetic:1,synthetic:2")
    result = convert(cli, proxy.url, experiment, *sweep)
    assert "Sweep: 2 of 2 jobs passed" in result.out
    assert "could not be recorded in MLflow" in result.err

    server.start()
    replay(cli, server, experiment, 3)
    client, runs = recorded(server, experiment)
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert parent.data.metrics == {"jobs": 2, "jobs.passed": 2}
    assert sorted(a.path for a in client.list_artifacts(parent.info.run_id)) == ["summary.csv", "summary.html"]


def test_a_required_record_that_cannot_be_made_is_an_error(cli, free_port):
    uri = f"tracking.uri='http://127.0.0.1:{free_port}'"
    result = cli.tiny("tracking=mlflow", "tracking.required=true", uri)
    assert result.code == 7
    assert "could not be recorded in MLflow" in result.error_line
    assert "all logits" in result.out
    assert f"folder     {cli.model_folder()}" in result.out
    assert (cli.model_folder() / "model.safetensors").exists()
