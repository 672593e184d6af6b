"""The model in a real registry: SQLite in a folder of the test's own, with a tiny model that was really proved."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pytest
from conftest import TINY, TINY_OVERRIDES, compose
from support.conversions import convert_and_record

from ast2hf.checkpoint import synthetic
from ast2hf.errors import TrackingError
from ast2hf.families.ast import AST
from ast2hf.tracking import models, runs
from ast2hf.tracking import record as records
from ast2hf.tracking.params import params

OPTIONS = ("experiment=offline", *TINY_OVERRIDES, "tracking.log_model=true")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """One store for all tests here: a fresh one costs seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A published model folder and its report."""
    folder = tmp_path_factory.mktemp("proved")
    synthetic.write(folder / "tiny.pth", AST, TINY, 1)
    target = folder / "model"
    config = compose(*OPTIONS, "tracking=off", f"checkpoint={folder / 'tiny.pth'}", f"output_dir={target}")
    return target, convert_and_record(config, folder).report


@pytest.fixture
def config(outputs):
    return compose(*OPTIONS, f"paths.outputs={outputs}")


@pytest.fixture
def client(config):
    return mlflow.MlflowClient(tracking_uri=config.tracking.uri)


@pytest.fixture
def record(config, proved, tmp_path, request):
    """The record of a conversion of the test's own name, with a model folder of the test's own."""
    published, report = proved
    target = shutil.copytree(published, tmp_path / "model")
    name = request.node.name.replace("[", "-").replace("]", "")
    papers = [target / "README.md", target / "conversion_report.json"]
    return records.build(report, name, time.time(), params=params(config), artifacts=papers, published=target)


@pytest.fixture
def send(config, outputs, tmp_path):
    return lambda record: runs.send(record, config.tracking, str(outputs), tmp_path / "sent")


def files_of(version):
    return Path(urlsplit(version.source).path)


def test_what_is_logged_are_the_proved_files_themselves(client, record, send):
    assert send(record).model == f"models:/{record.name}/1 (alias verified)"
    version = client.get_model_version_by_alias(record.name, "verified")
    for name, path in [(p.name, p) for p in Path(record.model.folder).iterdir()]:
        logged = files_of(version) / "model" / name
        assert not logged.is_symlink()
        assert logged.read_bytes() == path.read_bytes()


def test_the_version_tells_of_its_proof_and_belongs_to_its_run(client, record, send):
    run_id = send(record).run.rpartition("/")[2].partition("?")[0]
    version = client.get_model_version(record.name, "1")
    assert version.run_id == run_id
    assert version.tags["status"] == "passed"
    assert version.tags["source.sha256"] == record.tags["source.sha256"]
    assert (version.tags["device"], version.tags["dtype"]) == ("cpu", "float32")
    assert float(version.tags["logits.diff"]) <= float(version.tags["logits.atol"])
    (output,) = client.get_run(run_id).outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert (logged.status, logged.source_run_id) == ("READY", run_id)


def test_it_says_what_goes_in_and_out_and_what_it_needs(client, record, send, outputs, tmp_path):
    send(record)
    path = files_of(client.get_model_version(record.name, "1"))
    about = mlflow.models.Model.load(path)
    assert about.run_id == client.get_model_version(record.name, "1").run_id
    (tensor,) = about.signature.inputs.inputs
    assert (tensor.type, tensor.shape) == (np.dtype("float32"), (-1,))
    assert sorted(about.signature.outputs.input_names()) == ["label", "score"]
    assert np.asarray(about.load_input_example(str(path))).shape == (16000,)
    needed = (path / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in needed) == [
        "mlflow", "numpy", "torch", "torchaudio", "transformers",
    ]  # fmt: skip
    assert not (path / "LICENSE.txt").exists()
    about_text = (path / "MLmodel").read_text()
    assert "source_model_name: model\n" in about_text
    assert not [folder for folder in (tmp_path, outputs) if str(folder) in about_text]


def test_requirements_are_versions_that_every_index_has(monkeypatch):
    monkeypatch.setattr(models, "version", lambda package: {"torch": "2.13.0+cpu"}.get(package, "1.0"))
    assert models.requirements() == ["torch==2.13.0", "torchaudio==1.0", "transformers==1.0", "numpy==1.0"]


def test_another_conversion_becomes_version_2_and_takes_the_alias(client, record, send):
    send(record)
    assert send(dataclasses.replace(record, key="another")).model == f"models:/{record.name}/2 (alias verified)"
    assert client.get_model_version_by_alias(record.name, "verified").version == 2
    assert len(client.search_model_versions(f"name = '{record.name}'")) == 2


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("a:b", "a-b"),
        ("c?d", "c-d"),
        ("org/a", "org-a"),
        ("a b@#%20", "a-b---20"),
        ("hörbar", "hörbar"),
        ("x_lr=1e-6", "x_lr=1e-6"),
    ],
)
def test_the_name_is_one_that_the_registry_takes_and_addresses_hold(
    record, send, config, monkeypatch, name, registered
):
    named = dataclasses.replace(record, model=dataclasses.replace(record.model, name=name))
    assert send(named).model == f"models:/{registered}/1 (alias verified)"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", config.tracking.uri)
    assert mlflow.models.get_model_info(f"models:/{registered}@verified").signature is not None


def test_the_state_of_the_process_and_its_folder_are_left_alone(record, send, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    send(record)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
    assert mlflow.active_run() is None
    assert not list(here.iterdir())


def test_no_model_without_a_proof_or_unasked(proved):
    target, report = proved
    failed = dataclasses.replace(report, status="failed")

    def model(report, published):
        return records.build(report, "m", time.time(), params={}, artifacts=[], published=published).model

    assert model(report, target) == records.ProvedModel(str(target), "m", report.files)
    assert model(failed, None) is None
    assert model(failed, target) is None
    assert model(report, None) is None


def test_a_kept_record_still_has_its_model(record, tmp_path):
    run_folder = tmp_path / "runs" / "a"
    run_folder.mkdir(parents=True)
    records.save(record, run_folder)
    (path,) = records.pending(tmp_path)
    assert records.saved(path).model == record.model


def test_an_upload_that_was_interrupted_is_kept_to_be_sent_later(proved, outputs, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "register", interrupted)
    source = f"checkpoint={proved[0].parent / 'tiny.pth'}"
    config = compose(*OPTIONS, source, f"output_dir={tmp_path / 'model'}", f"paths.outputs={outputs}")
    run_folder = tmp_path / "runs" / "a"
    run_folder.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        convert_and_record(config, run_folder)
    (path,) = records.pending(tmp_path)
    made = records.saved(path)
    assert made.model.folder == str(tmp_path / "model")
    assert made.status == "FINISHED"


@pytest.mark.parametrize("change", ["other weights", "no weights", "no card", "gone"])
def test_a_folder_that_is_no_longer_what_was_published_is_not_logged(client, record, send, capsys, change):
    folder = Path(record.model.folder)
    weights = folder / "model.safetensors"
    match change:
        case "other weights":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
        case "no weights":
            weights.unlink()
        case "no card":
            (folder / "README.md").unlink()
        case "gone":
            shutil.rmtree(folder)
    sent = send(record)
    assert sent.model is None
    assert "has changed since it was published" in capsys.readouterr().err
    assert client.get_run(sent.run.rpartition("/")[2].partition("?")[0]).info.status == "FINISHED"
    assert not client.search_registered_models(f"name = '{record.name}'")


@pytest.mark.parametrize(
    "step",
    [
        "log_batch", "log_artifact", "create_logged_model", "log_outputs", "log_model_artifacts",
        "finalize_logged_model", "create_registered_model", "create_model_version", "set_registered_model_alias",
        "set_terminated",
    ],
)  # fmt: skip
def test_what_stopped_at_any_step_goes_on_there_and_nothing_is_there_twice(
    client, config, record, send, monkeypatch, tmp_path, step
):
    for after in (False, True):  # it fails before the step, or with the answer lost on the way back
        name = f"{step}-{after}"
        made = dataclasses.replace(record, name=name, key=name, model=dataclasses.replace(record.model, name=name))
        with monkeypatch.context() as broken:
            real = getattr(mlflow.MlflowClient, step)

            def fail(self, *args, real=real, after=after, **kwargs):
                if after:
                    real(self, *args, **kwargs)
                raise ConnectionError("the line is cut")

            broken.setattr(mlflow.MlflowClient, step, fail)
            with pytest.raises(TrackingError, match="the line is cut"):
                send(made)
        run_folder = tmp_path / "runs" / "a"
        run_folder.mkdir(parents=True, exist_ok=True)
        records.save(made, run_folder)
        runs.replay(config.tracking, str(tmp_path))

        experiments = [client.get_experiment_by_name(config.tracking.experiment).experiment_id]
        (run,) = client.search_runs(experiments, f"attributes.run_name = '{made.name}'")
        assert run.info.status == "FINISHED"
        assert run.data.metrics["logits.atol"] > 0
        (version,) = client.search_model_versions(f"name = '{made.name}'")
        assert version.run_id == run.info.run_id
        (logged,) = client.search_logged_models(experiments, f"source_run_id = '{run.info.run_id}'")
        assert logged.status == "READY"
        assert [o.model_id for o in run.outputs.model_outputs] == [logged.model_id]
        assert client.get_model_version_by_alias(made.name, "verified").version == version.version
