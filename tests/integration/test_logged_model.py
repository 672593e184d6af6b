"""``tracking.log_model=true`` as a user has it: converted, registered, loaded by name, and served over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pytest
import soundfile
import transformers
from support.mlflow_server import MlflowServer, http_program

from ast2hf.audio import PACKAGED_CLIP

NAME = "ast-finetuned-audioset-16-16-0.442"
ON = ("tracking=mlflow", "tracking.log_model=true")


@pytest.fixture
def clip():
    """(16000,) float32 at 16 kHz, not the second that is kept as the example."""
    return soundfile.read(PACKAGED_CLIP, start=32000, frames=16000, dtype="float32")[0]


@pytest.fixture
def store(cli):
    return f"sqlite:///{cli.outputs}/mlflow.db"


@pytest.fixture
def server(tmp_path):
    with MlflowServer(tmp_path, f"sqlite:///{tmp_path}/server.db", str(tmp_path / "artifacts")) as server:
        yield server


def best_label(folder: Path, clip):
    pipe = transformers.pipeline("audio-classification", model=str(folder), device="cpu")
    return pipe(clip)[0]


def test_the_registered_model_gives_the_labels_of_the_folder_in_python_and_over_http(
    cli, store, clip, free_port, monkeypatch
):
    result = cli.tiny(*ON)
    assert result.code == 0, result.err
    assert f"registered models:/{NAME}/1 (alias verified)" in result.out
    assert "warn" not in result.err.lower()
    best = best_label(cli.model_folder(), clip)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@verified")
    labels = model.predict(clip)
    assert len(labels) == 7
    assert labels.iloc[0].to_dict() == best
    pipe = mlflow.transformers.load_model(f"models:/{NAME}@verified")
    first, second = pipe([clip.astype(np.float64), clip[:8000]])  # what the schema of pyfunc refuses
    assert first[0] == best
    assert len(second) == len(first)

    url = f"http://127.0.0.1:{free_port}"
    served = http_program(
        sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--model-uri",
        f"models:/{NAME}@verified", "--host", "127.0.0.1", "--port", str(free_port), "--workers", "1",
        health=f"{url}/ping", PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    with served:
        answer = httpx.post(f"{url}/invocations", json={"inputs": clip.tolist()}, timeout=60)
    assert answer.status_code == 200, answer.text
    first = answer.json()["predictions"][0]
    assert first["label"] == best["label"]
    assert first["score"] == pytest.approx(best["score"], abs=1e-6)

    result = cli.tiny(*ON, "checkpoint=synthetic:7", "overwrite=true")
    assert result.code == 0, result.err
    assert f"registered models:/{NAME}/2 (alias verified)" in result.out
    newer = mlflow.pyfunc.load_model(f"models:/{NAME}@verified").predict(clip)
    assert newer.iloc[0].to_dict() == best_label(cli.model_folder(), clip)
    assert newer.iloc[0].to_dict() != best


def test_in_a_sweep_only_proved_models_are_registered(cli, store):
    result = cli.tiny("-m", *ON, "model.layer_norm_eps=1e-12,1e-6")
    assert result.code == 5
    client = mlflow.MlflowClient(tracking_uri=store)
    (registered,) = client.search_registered_models()
    assert registered.name == f"{NAME}_model.layer_norm_eps=1e-06"
    (version,) = client.search_model_versions()
    assert "Input: one clip" in version.description
    run = client.get_run(version.run_id)
    assert (run.data.tags["model"], run.info.status) == (NAME, "FINISHED")
    assert registered.name.endswith(run.info.run_name)
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.metrics == {"jobs": 2, "jobs.passed": 1}
    assert len(client.search_logged_models([run.info.experiment_id])) == 1
    assert len(list((cli.outputs / "mlartifacts").rglob("*.safetensors"))) == 1


def test_a_server_that_refused_the_upload_gets_run_and_model_later_once(cli, clip, server, tmp_path, monkeypatch):
    url = server.url
    mlflow.MlflowClient(tracking_uri=url).create_experiment("ast2hf")
    in_the_way = tmp_path / "artifacts" / "1" / "models"  # where the server wants a folder
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("")
    result = cli.tiny(*ON, f"tracking.uri='{url}'")
    assert result.code == 0, result.err
    assert "not recorded" in result.out
    assert "registered" not in result.out
    assert (cli.model_folder() / "model.safetensors").exists()
    assert len(list(cli.outputs.glob("runs/*/unsent_record.json"))) == 1
    client = mlflow.MlflowClient(tracking_uri=url)
    assert not client.search_registered_models()

    in_the_way.unlink()
    for expected in ("1 record sent", "0 records sent"):
        result = cli("task=replay", f"tracking.uri='{url}'")
        assert result.code == 0, result.err
        assert expected in result.out
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"
    (version,) = client.search_model_versions()
    assert (version.name, version.version, version.run_id) == (NAME, "1", run.info.run_id)
    (logged,) = client.search_logged_models(["1"])
    assert logged.status == "READY"
    assert [f.path for f in client.list_logged_model_artifacts(logged.model_id)].count("MLmodel") == 1

    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    labels = mlflow.pyfunc.load_model(f"models:/{NAME}@verified").predict(clip)
    assert labels.iloc[0].to_dict() == best_label(cli.model_folder(), clip)
