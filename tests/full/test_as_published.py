"""The main job as a user gives it, at full size: labels and clip from a Hub, checkpoint from a file or an address."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, geometry_of
from support.hub_data import add_labels_and_clip, add_speech_commands, labels, word, words
from support.hub_server import HubServer
from support.servers import Reply, Server

from ast2hf.audio import PACKAGED_CLIP, decode
from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import HUGGING_FACE

pytestmark = [pytest.mark.full, pytest.mark.long]


@pytest.fixture
def hub(tmp_path):
    with HubServer(tmp_path / "hub") as hub:
        add_labels_and_clip(hub)
        yield hub


def converted(folder):
    report, config = (json.loads((folder / name).read_text()) for name in ("conversion_report.json", "config.json"))
    assert report["status"] == "passed"
    assert report["checks"]["weights"]["measured"] == {"bit_exact": 203, "recomputed": 0}
    return report, config


def first_logits(folder, clip):
    waveform = decode(clip, "clip", 16000).waveform
    loaded = HUGGING_FACE.load(folder, torch.device("cpu"))
    with torch.inference_mode(), loaded.with_epsilon(1e-12):  # as the published logits were computed
        return loaded(HUGGING_FACE.features(folder, waveform, 16000)).logits[0, :3].tolist()


def test_audioset_from_a_file_then_from_its_address_and_on_to_the_hub(cli, hub, tmp_path):
    checkpoint = tmp_path / "audioset_16_16_0.4422.pth"
    synthetic.write(checkpoint, AST, geometry_of("ast_16_16"), 7)
    result = cli("model=ast_16_16", f"checkpoint={checkpoint}", **hub.environment(None))
    assert result.code == 0, result.err
    report, config = converted(cli.model_folder())
    assert config["id2label"] == labels(527)
    assert report["labels"] == "hf://datasets/huggingface/label-files/audioset-id2label.json"
    assert report["clip"] == "hf://datasets/nielsr/audio-spectogram-transformer-checkpoint/sample_audio.flac"
    assert report["checks"]["published_logits"]["reason"] == "not the official checkpoint"

    # The weights are synthetic, so the published logits are not theirs.
    values = first_logits(cli.model_folder(), PACKAGED_CLIP.read_bytes())
    content = checkpoint.read_bytes()
    half = Reply(200, content[: len(content) // 2], promise=len(content))
    with Server() as files:
        files.replies["/s/audioset_16_16_0.4422.pth"] = [Reply(503), half, Reply(200, content)]
        url = f"model.url='{files.url}/s/audioset_16_16_0.4422.pth?dl=1'"
        wrong = cli("model=ast_16_16", url, "output_dir=wrong", **hub.environment(None))
        values = f"model.expected_logits.values={values}"
        right = cli("model=ast_16_16", url, "output_dir=right", values, **hub.environment(None))
        assert len(files.requests) == 3
    assert wrong.code == 5
    assert "the proof failed at published_logits" in wrong.error_line
    assert not (cli.folder / "wrong").exists()
    assert right.code == 0, right.err
    report, _ = converted(cli.folder / "right")
    assert report["checks"]["published_logits"]["status"] == "passed"
    assert report["files"] == json.loads((cli.model_folder() / "conversion_report.json").read_text())["files"]

    pushed = cli(
        "model=ast_16_16", f"checkpoint={checkpoint}", "skip_existing=true", "hub=push", "hub.repo_id=me/full",
        **hub.environment(),
    )  # fmt: skip
    assert pushed.code == 0, pushed.err
    assert "Write " not in pushed.err
    script = ROOT / "tests" / "compat" / "load_folder.py"
    fresh = {**cli.environment, **hub.environment(), "HF_HOME": str(tmp_path / "another home")}
    local, remote = (
        json.loads(subprocess.check_output([sys.executable, script, place], env=fresh, text=True))
        for place in (cli.model_folder(), "me/full")
    )
    assert local == remote


def test_speech_commands_streams_its_clip(cli, hub, tmp_path):
    split = add_speech_commands(hub, words(3000))
    checkpoint = tmp_path / "speechcommands.pth"
    synthetic.write(checkpoint, AST, geometry_of("ast_speech_commands_v2"), 8)
    result = cli("model=ast_speech_commands_v2", f"checkpoint={checkpoint}", **hub.environment(None))
    assert result.code == 0, result.err
    folder = cli.model_folder("ast-finetuned-speech-commands-v2")
    report, config = converted(folder)
    assert config["id2label"] == labels(35)
    assert report["labels"] == "hf://datasets/huggingface/label-files/speech-commands-v2-id2label.json"
    assert report["clip"] == "hf://datasets/google/speech_commands/v0.02/validation[0]"
    assert hub.sent[split] < 40e6 < (hub.folder / split).stat().st_size / 2  # datasets asks for 32 MiB at a time
    assert set(hub.sent) == {split}

    values = first_logits(folder, word(0))
    vouched = cli(
        "model=ast_speech_commands_v2", f"checkpoint={checkpoint}", "overwrite=true", "verify.expected_logits=always",
        f"model.expected_logits.values={values}", **hub.environment(None),
    )  # fmt: skip
    assert vouched.code == 0, vouched.err
    assert converted(folder)[0]["checks"]["published_logits"]["status"] == "passed"
