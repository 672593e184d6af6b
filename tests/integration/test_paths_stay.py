"""Paths of the machine stay on it: nothing that is published, recorded or sent has the name of a folder of the user."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pytest
import soundfile
from conftest import TINY, TINY_OVERRIDES, Cli, Result
from support.hub_server import HubServer

CANARY = "canary-9a1f"

TRACKED = (*TINY_OVERRIDES, "tracking=mlflow")
PUSHED = ("hub=push", "hub.repo_id=me/tiny")


@dataclass(frozen=True)
class Scene:
    """All that a user names lies in ``home``, a folder with the canary and spaces in its name."""

    cli: Cli
    hub: HubServer
    home: Path

    def run(self, *arguments: str, **inputs: str) -> Result:
        """``inputs``: other files in ``home`` than the sound ones."""
        named = {"checkpoint": "best.pth", "labels": "labels.csv", "audio": "clip.wav", "output_dir": "model"}
        named |= {"paths.outputs": "outputs", "paths.cache": "cache", **inputs}
        given = [f"{key}='{self.home / name}'" for key, name in named.items()]
        return self.cli(*TRACKED, *given, *arguments, **self.hub.environment())

    def sightings(self) -> list[str]:
        """Where the canary is."""
        shown = [*self.published(), *self.recorded(), *self.sent()]
        return [where for where, content in shown if CANARY.encode() in where.encode() + content]

    def published(self) -> Iterator[tuple[str, bytes]]:
        return self.files("published", self.home / "model")

    def recorded(self) -> Iterator[tuple[str, bytes]]:
        """Artifacts, and what the store says of runs and models. It knows itself where the artifacts lie."""
        yield from self.files("artifact", self.home / "outputs" / "mlartifacts")
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{self.home}/outputs/mlflow.db")
        experiment = client.get_experiment_by_name("ast2hf").experiment_id
        for run in client.search_runs([experiment]):
            texts = {"name": run.info.run_name, **run.data.tags, **run.data.params}
            yield from ((f"run {name}", text.encode()) for name, text in texts.items())
            yield from ((f"metric {name}", b"") for name in run.data.metrics)
        for model in (*client.search_logged_models([experiment]), *client.search_model_versions()):
            yield f"model {model.name}", repr({**model.tags, **(getattr(model, "params", None) or {})}).encode()

    def sent(self) -> Iterator[tuple[str, bytes]]:
        yield from self.files("uploaded", self.hub.folder)
        for request in self.hub.requests:
            yield f"head of {request.method}", request.head.encode()
            yield f"body of {request.method}", request.body
            if "/commit/" in request.path:
                for line in request.body.splitlines()[1:]:
                    value = json.loads(line)["value"]
                    yield f"commit {value['path']}", base64.b64decode(value.get("content", ""))

    @staticmethod
    def files(kind: str, folder: Path) -> Iterator[tuple[str, bytes]]:
        for path in folder.rglob("*"):
            if path.is_file():
                yield f"{kind} {path.relative_to(folder)}", path.read_bytes()


@pytest.fixture
def scene(cli, tiny_checkpoint, tmp_path):
    home = tmp_path / f"my {CANARY} files"
    home.mkdir()
    shutil.copy(tiny_checkpoint, home / "best.pth")
    names = [f"{i},Sound {i}" for i in range(TINY.num_labels)]
    (home / "labels.csv").write_text("\n".join(["index,display_name", *names]))
    (home / "twice.csv").write_text("\n".join(["index,display_name", *names[:-1], names[0]]))
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 16000)
    for name in ("clip.wav", f"{CANARY}.wav"):
        soundfile.write(home / name, noise, 16000)
    with HubServer(tmp_path / "hub") as hub:
        yield Scene(cli, hub, home)


def test_a_file_that_has_the_canary_for_its_name_is_seen_wherever_it_is_named(scene):
    """Or else the other tests would find nothing anywhere."""
    result = scene.run(*PUSHED, audio=f"{CANARY}.wav")
    assert result.code == 0, result.err
    found = scene.sightings()
    for where in (
        "published conversion_report.json", "published README.md", "run audio", "commit conversion_report.json",
        "commit README.md",
    ):  # fmt: skip
        assert where in found
    artifacts = {place.rpartition("/")[2] for place in found if place.startswith("artifact")}
    assert artifacts == {"conversion_report.json", "report.html", "README.md"}


def test_a_model_that_is_published_recorded_registered_and_pushed_names_no_folder(scene):
    result = scene.run(*PUSHED, "tracking.log_model=true")
    assert result.code == 0, result.err
    assert CANARY in result.out  # the person who runs it sees where things are
    for place, least in ((scene.published(), 5), (scene.recorded(), 100), (scene.sent(), 10)):
        assert len(list(place)) >= least
    assert scene.sightings() == []


def test_a_proof_that_fails_names_no_folder(scene):
    result = scene.run(*PUSHED, "model.layer_norm_eps=1e-12")
    assert result.code == 5, result.err
    recorded = dict(scene.recorded())
    assert recorded["run status"] == b"failed"
    assert b"over the tolerance" in recorded["run error"]
    assert scene.sightings() == []
    assert scene.hub.requests == []


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [("labels", "twice.csv", "twice.csv, line 8: duplicate index 0"), ("checkpoint", "labels.csv", "labels.csv")],
)
def test_an_input_that_cannot_be_used_is_recorded_by_its_name(scene, key, name, message):
    result = scene.run(*PUSHED, **{key: name})
    assert result.code == 3, result.err
    assert str(scene.home) in result.error_line
    assert dict(scene.recorded())["run error"].startswith(message.encode())
    assert scene.sightings() == []
    assert scene.hub.requests == []


def test_the_table_of_a_sweep_names_no_folder(scene):
    checkpoints = f"checkpoint='{scene.home / 'best.pth'}','{scene.home / 'twice.csv'}'"
    outputs = f"paths.outputs='{scene.home / 'outputs'}'"
    result = scene.cli(*TRACKED, "-m", checkpoints, outputs, "labels=none", "audio=packaged")
    assert result.code == 3, result.err
    table = next(content for name, content in scene.recorded() if name.endswith("summary.csv")).decode()
    assert "checkpoint=best.pth-" in table
    assert "twice.csv is" in table
    assert scene.sightings() == []


def test_a_record_that_is_sent_later_names_no_folder(scene):
    """The report that it takes along says by then why it was not sent before."""
    artifacts = scene.home / "outputs" / "mlartifacts"
    artifacts.parent.mkdir()
    artifacts.write_text("in the way")
    result = scene.run()
    assert result.code == 0, result.err
    assert "not recorded: " in result.out
    artifacts.unlink()
    again = scene.run("task=replay")
    assert again.code == 0, again.err
    (report,) = (content for name, content in scene.recorded() if name.endswith("conversion_report.json"))
    (note,) = (note for note in json.loads(report)["notes"] if note.startswith("not recorded: "))
    assert "Not a directory: '" in note
    assert scene.sightings() == []
