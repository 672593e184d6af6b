"""The whole pipeline of a published model: checkpoint by HTTP, labels and clip from the Hub, all on loopback."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import TINY, TINY_OVERRIDES, compose
from support.hub_data import add_labels_and_clip, add_speech_commands, words
from support.hub_server import HubServer
from support.servers import Reply, Server

from ast2hf.audio import PACKAGED, PACKAGED_CLIP, load_clip
from ast2hf.formats.huggingface import HUGGING_FACE

LABELS = {str(i): f"Sound {i}" for i in range(TINY.num_labels)}


@pytest.fixture
def published(cli, tiny_checkpoint, tmp_path):
    """Run the command line as for a published model, with every server on loopback."""
    with HubServer(tmp_path / "hub") as hub, Server() as files:
        hub.add("huggingface/label-files", "audioset-id2label.json", json.dumps(LABELS).encode())
        hub.add("nielsr/audio-spectogram-transformer-checkpoint", "sample_audio.flac", PACKAGED_CLIP.read_bytes())
        files.replies["/tiny.pth"] = [Reply(503), Reply(200, tiny_checkpoint.read_bytes())]

        def run(*arguments, **environment):
            return cli(
                "tracking=off", *TINY_OVERRIDES, f"model.url='{files.url}/tiny.pth?dl=1'", *arguments,
                **{**hub.environment(None), **environment},
            )  # fmt: skip

        run.hub, run.files = hub, files
        yield run


def test_labels_clip_and_checkpoint_are_fetched_and_the_published_logits_checked(cli, published):
    first = published("verify.expected_logits=never")
    assert first.code == 0, first.err
    report = json.loads((cli.model_folder() / "conversion_report.json").read_text())
    assert report["source"]["uri"].startswith("http://127.0.0.1:")
    assert report["labels"] == "hf://datasets/huggingface/label-files/audioset-id2label.json"
    assert report["checks"]["published_logits"]["reason"] == "switched off (verify.expected_logits=never)"
    assert "Sound " in first.out

    wrong = published("overwrite=true")
    assert wrong.code == 5
    assert "the proof failed at published_logits" in wrong.error_line

    loaded = HUGGING_FACE.load(cli.model_folder(), torch.device("cpu"))
    waveform = load_clip(PACKAGED, compose().model, cli.folder).waveform
    features = HUGGING_FACE.features(cli.model_folder(), waveform, 16000)
    with torch.inference_mode(), loaded.with_epsilon(1e-12):
        values = loaded(features).logits[0, :3].tolist()
    right = published("overwrite=true", f"model.expected_logits.values={values}")
    assert right.code == 0, right.err
    report = json.loads((cli.model_folder() / "conversion_report.json").read_text())
    assert report["checks"]["published_logits"]["status"] == "passed"


def test_a_local_copy_is_not_taken_for_the_published_one(cli, published, tiny_checkpoint):
    result = published(f"checkpoint={tiny_checkpoint}")
    assert result.code == 0, result.err
    assert "not the official checkpoint" in result.out


def test_with_warm_caches_no_network_is_needed(published):
    assert published("verify.expected_logits=never").code == 0
    requests = len(published.files.requests), len(published.hub.requests)
    result = published("verify.expected_logits=never", "overwrite=true", HF_HUB_OFFLINE="1")
    assert result.code == 0, result.err
    assert (len(published.files.requests), len(published.hub.requests)) == requests


def test_labels_of_another_model_are_refused(published):
    published.hub.add("huggingface/label-files", "audioset-id2label.json", b'{"0": "only one"}')
    result = published()
    assert result.code == 3
    assert "has 1 labels, but the checkpoint has 7 classes" in result.error_line


def test_the_clip_of_speech_commands_is_the_first_of_its_split(cli, tmp_path):
    sizes = [o for o in TINY_OVERRIDES if o.partition("=")[0] not in ("model", "model.num_labels", "model.max_length")]
    arguments = ["model=ast_speech_commands_v2", *sizes, "checkpoint=synthetic", "tracking=off"]
    with HubServer(tmp_path / "hub") as hub:
        add_labels_and_clip(hub)
        split = add_speech_commands(hub, words(3))
        result = cli(*arguments, **hub.environment(None))
    assert result.code == 0, result.err
    folder = cli.model_folder("ast-finetuned-speech-commands-v2")
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["clip"] == "hf://datasets/google/speech_commands/v0.02/validation[0]"
    assert list(hub.sent) == [split]
    offline = cli(*arguments, "overwrite=true", **hub.environment(None) | {"HF_HUB_OFFLINE": "1"})  # the Hub is gone
    assert offline.code == 0, offline.err
    assert json.loads((folder / "config.json").read_text())["id2label"]["34"] == "Sound 34"
