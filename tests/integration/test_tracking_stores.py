"""Many processes at one store: a file, and a team's server on PostgreSQL with its artifacts in a bucket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import mlflow
import pytest
from conftest import TINY_OVERRIDES, compose
from support import postgresql
from support.fork_server import Command
from support.http_server import free_port
from support.mlflow_server import MlflowServer, Proxy
from test_tracking_server import CREATE, LAST_ARTIFACT, check_whole, recorded, replay, run_folders

from ast2hf.tracking import store

BUCKET = "mlflow"
COPIES = """
INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('run_uuid', md5(n::text), 'start_time', n))).*
    FROM runs r, generate_series(1, 1020) n WHERE run_uuid = %(run)s;
INSERT INTO tags SELECT key, CASE WHEN key = 'ast2hf.pid' AND n NOT BETWEEN 21 AND 1000 THEN %(dead)s ELSE value END,
    md5(n::text) FROM tags, generate_series(1, 1020) n WHERE run_uuid = %(run)s;
"""
"""1020 more runs like one that is there."""

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def started(cli, seed: int, *arguments: str, **environment: str) -> Command:
    """A conversion that goes on beside others of the same outputs."""
    told = (f"checkpoint=synthetic:{seed}", f"output_dir=outputs/models/{seed}", "threads=1")
    return cli.start("experiment=offline", *TINY_OVERRIDES, *told, *arguments, **environment)


def check_ended(commands):
    for command in commands:
        result = command.wait()
        assert result.code == 0, result.err
        assert "not recorded" not in result.out + result.err


@pytest.mark.fault(60, "four first runs on a fresh store")
def test_four_processes_at_a_fresh_sqlite_store(cli, came_out):
    check_ended([started(cli, seed) for seed in range(4)])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{cli.outputs}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("ast2hf").experiment_id])
    assert sorted(run.data.params["checkpoint"] for run in runs) == [f"synthetic:{seed}" for seed in range(4)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    came_out(runs=[run.info.status for run in runs])


# --- PostgreSQL and S3 ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Team:
    """A team's MLflow server, the address of its database, and a client of its bucket."""

    server: MlflowServer
    database: str
    s3: Any


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    import boto3

    folder = tmp_path_factory.mktemp("team")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with (
        postgresql.cluster(free_port()) as database,
        (folder / "s3.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        ) as bucket,
    ):
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=endpoint, **keys)
        environment = {**CREDENTIALS, "MLFLOW_S3_ENDPOINT_URL": endpoint}
        address = database.replace("://", "+psycopg2://")  # by itself SQLAlchemy 2.1 takes psycopg 3
        server = MlflowServer(folder, address, f"s3://{BUCKET}/artifacts", environment)
        try:
            while not answers(port):
                assert bucket.poll() is None, (folder / "s3.log").read_text()
                time.sleep(0.1)
            s3.create_bucket(Bucket=BUCKET)
            server.start()
            yield Team(server, database, s3)
        finally:
            server.kill()
            bucket.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.server
def test_eight_conversions_at_once(cli, team, tmp_path):
    """All eight find no experiment yet, and all eight create their runs in the same moment."""
    barriers = {"get-by-name": threading.Barrier(8), "runs/create": threading.Barrier(8)}
    asked = dict.fromkeys(barriers, 0)
    counting = threading.Lock()

    def together(path, forward):
        name = "get-by-name" if "get-by-name" in path else "runs/create"
        with counting:
            asked[name] += 1
            first = asked[name] <= 8
        reply = forward() if name == "get-by-name" else None
        if first:
            barriers[name].wait()
        return reply or forward()

    with Proxy(team.server.url) as proxy:
        proxy.where, proxy.fault = f"get-by-name|{CREATE}", together
        told = (f"tracking.uri='{proxy.url}'", "tracking.experiment=eight")
        check_ended([started(cli, seed, *told, MLFLOW_HTTP_REQUEST_TIMEOUT="300") for seed in range(8)])

    client, runs = recorded(team.server, "eight")
    folders = {json.loads((f / "conversion_report.json").read_text())["source"]["uri"]: f for f in run_folders(cli)}
    assert sorted(folders) == sorted(run.data.params["checkpoint"] for run in runs)
    assert len(runs) == 8
    for run in runs:
        folder = folders[run.data.params["checkpoint"]]
        check_whole(client, run, folder, tmp_path)
        key = f"artifacts/{run.info.experiment_id}/{run.info.run_id}/artifacts/report.html"
        assert team.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == (folder / "report.html").read_bytes()


@pytest.mark.server
def test_a_conversion_that_is_killed_while_it_sends(cli, team, tmp_path):
    """Its run is ended by the next conversion, and made whole by replay."""
    sending = threading.Event()

    def hold(*_):
        sending.set()
        proxy.stall()

    def statuses():
        _, runs = recorded(team.server, "killed")
        return [run.info.status for run in reversed(runs)]

    experiment = "tracking.experiment=killed"
    with Proxy(team.server.url) as proxy:
        proxy.where, proxy.fault = LAST_ARTIFACT, hold
        victim = started(cli, 0, f"tracking.uri='{proxy.url}'", experiment)
        assert sending.wait(300)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    assert statuses() == ["RUNNING"]
    check_ended([started(cli, 1, f"tracking.uri='{team.server.url}'", experiment)])
    assert statuses() == ["KILLED", "FINISHED"]

    replay(cli, team.server, "killed", 1)
    client, runs = recorded(team.server, "killed")
    for run, folder in zip(reversed(runs), run_folders(cli), strict=True):
        check_whole(client, run, folder, tmp_path)


@pytest.mark.server
def test_runs_left_open_are_found_behind_many_others(team, tmp_path):
    """More open runs than a page of a search holds, 1000; those of dead processes are the first and last twenty."""
    import psycopg2

    client = mlflow.MlflowClient(tracking_uri=team.server.url)
    experiment = client.create_experiment("many")
    tags = {"ast2hf.host": socket.gethostname(), "ast2hf.pid": str(os.getpid())}
    run_id = client.create_run(experiment, start_time=0, tags=tags).info.run_id
    with contextlib.closing(psycopg2.connect(team.database)) as database, database, database.cursor() as cursor:
        cursor.execute(COPIES, {"run": run_id, "dead": str(2**22 + 1)})
    settings = compose("tracking=mlflow", f"tracking.uri={team.server.url}", "tracking.experiment=many").tracking
    assert store.experiment_id(client, settings, str(tmp_path)) == experiment
    found = client.search_runs([experiment], max_results=5000)
    assert Counter(run.info.status for run in found) == {"KILLED": 40, "RUNNING": 981}
