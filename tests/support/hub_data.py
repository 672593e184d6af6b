"""The files that published models need from the Hub, put into a Hub on loopback: label files and clips."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile
from datasets import Audio, ClassLabel, Features, Value

from ast2hf.audio import PACKAGED_CLIP
from support.hub_server import HubServer

SPEECH_COMMANDS = Features(
    {
        "file": Value("string"),
        "audio": Audio(sampling_rate=16000),
        "label": ClassLabel(names=["yes", "no"]),
        "is_unknown": Value("bool"),
        "speaker_id": Value("string"),
        "utterance_id": Value("int8"),
    }
)


def labels(count: int) -> dict[str, str]:
    return {str(i): f"Sound {i}" for i in range(count)}


def add_labels_and_clip(hub: HubServer, classes: int = 527) -> None:
    hub.add("huggingface/label-files", "audioset-id2label.json", json.dumps(labels(classes)).encode())
    hub.add("huggingface/label-files", "speech-commands-v2-id2label.json", json.dumps(labels(35)).encode())
    hub.add("nielsr/audio-spectogram-transformer-checkpoint", "sample_audio.flac", PACKAGED_CLIP.read_bytes())


def word(number: int) -> bytes:
    """A second of noise as a wav file, of as many bytes as a word of the data set."""
    file = io.BytesIO()
    samples = np.random.default_rng(number).uniform(-0.1, 0.1, 16000)
    soundfile.write(file, samples, 16000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def add_speech_commands(hub: HubServer, clips: Sequence[bytes]) -> str:
    """The data set as the Hub converts it to Parquet: a folder for each config and split, row groups of 100 clips.

    Returns the SHA-256 of the validation split of v0.02, which has ``clips``; each other split has one of its own.
    """
    hub.moved["speech_commands"] = "google/speech_commands"
    for config in ("v0.01", "v0.02"):
        for split in ("train", "validation", "test"):
            wanted = (config, split) == ("v0.02", "validation")
            content = _parquet(clips if wanted else [word(9000)])
            path = f"{config}/{split}/0000.parquet"
            hub.add("google/speech_commands", path, content, revision="refs/convert/parquet")
            if wanted:
                digest = hub.keep(content)
    return digest


def words(count: int) -> list[bytes]:
    return [word(number) for number in range(count)]


def _parquet(clips: Sequence[bytes]) -> bytes:
    found = [
        {
            "file": f"yes/{n}.wav",
            "audio": {"bytes": clip, "path": f"{n}.wav"},
            "label": 0,
            "is_unknown": False,
            "speaker_id": "somebody",
            "utterance_id": 0,
        }
        for n, clip in enumerate(clips)
    ]
    file = io.BytesIO()
    table = pyarrow.Table.from_pylist(found, schema=SPEECH_COMMANDS.arrow_schema)
    pyarrow.parquet.write_table(table, file, row_group_size=100)
    return file.getvalue()
