"""Cases 35 to 41: labels, clips, data sets."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile
from conftest import TINY_OVERRIDES
from support.hub_data import add_labels_and_clip, add_speech_commands
from support.hub_server import HubServer

NAMES = [f"name {i}" for i in range(7)]
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)


def csv(*lines: str) -> bytes:
    return "\n".join(["index,display_name", *lines]).encode()


@pytest.fixture
def refused(cli):
    """Convert with ``overrides``; the result, of a run that must end with exit 3 and leave nothing."""

    def refused(*overrides: str):
        result = cli("experiment=offline", "tracking=off", *TINY_OVERRIDES, *overrides)
        assert result.code == 3, result.err
        assert result.error_line
        assert not (cli.outputs / "models").exists() or not list((cli.outputs / "models").iterdir())
        return result

    return refused


@pytest.mark.fault(35, "8 labels for 7 classes")
def test_the_number_of_labels(cli, refused, came_out):
    (cli.folder / "labels.csv").write_bytes(csv(*(f"{i},label {i}" for i in range(8))))
    result = refused("labels=labels.csv")
    assert "labels.csv has 8 labels, but the checkpoint has 7 classes" in result.error_line
    came_out(result)


@pytest.mark.fault(36, "labels: a duplicate, an empty one, a missing index, not UTF-8")
def test_labels_that_are_wrong_are_named_by_their_line(cli, refused, came_out):
    good = [f"{i},{name}" for i, name in enumerate(NAMES)]
    for content, message in (
        (csv(*good[:6], "6,name 2"), "labels.csv, line 8: duplicate label name 2 (first on line 4)"),
        (csv(*good[:6], "5,other"), "line 8: duplicate index 5"),
        (csv(*good[:6], "6,"), "line 8: the label is empty"),
        (csv(*good[:5], "6,name 6"), "index 5 is missing"),
        (csv(*good[:6], "6,caf\xe9").decode().encode("latin-1"), "line 8: not UTF-8 text"),
    ):
        (cli.folder / "labels.csv").write_bytes(content)
        result = refused("labels=labels.csv")
        assert message in result.error_line
        came_out(result)


@pytest.mark.fault(36, "labels with a byte order mark, in UTF-8 and UTF-16")
def test_a_byte_order_mark_does_no_harm(cli):
    text = csv(*(f"{i},{name}" for i, name in enumerate(NAMES))).decode()
    for encoding in ("utf-8-sig", "utf-16"):
        (cli.folder / "labels.csv").write_bytes(text.encode(encoding))
        result = cli.tiny("labels=labels.csv", "overwrite=true")
        assert result.code == 0, result.err
        assert '"6": "name 6"' in (cli.model_folder() / "config.json").read_text()


@pytest.mark.fault(37, "an empty clip; clips of 0 and 399 samples")
def test_a_clip_too_short(cli, refused, came_out):
    for samples, message in (
        (None, "is empty"),
        (TONE[:0], "is too short (0 samples"),
        (TONE[:399], "is too short (399 samples"),
    ):
        if samples is None:
            (cli.folder / "clip.wav").write_bytes(b"")
        else:
            soundfile.write(cli.folder / "clip.wav", samples, 16000)
        result = refused("audio=clip.wav")
        assert message in result.error_line
        came_out(result)


@pytest.mark.fault(38, "a clip with NaN")
def test_a_clip_with_nan(cli, refused, came_out):
    soundfile.write(cli.folder / "clip.wav", np.where(np.arange(16000) == 7, np.nan, TONE), 16000, "FLOAT")
    result = refused("audio=clip.wav")
    assert "contains NaN or infinite samples" in result.error_line
    came_out(result)


@pytest.mark.fault(39, "a clip in stereo, int16, at 44.1 kHz")
def test_other_clips_are_adapted_with_a_note(cli, came_out):
    stereo = np.stack([TONE, -TONE / 2], axis=1)
    soundfile.write(cli.folder / "clip.wav", stereo, 44100, "PCM_16")
    result = cli.tiny("audio=clip.wav")
    assert result.code == 0, result.err
    said = ["2 channels of the clip are averaged into one", "the clip is resampled from 44100 Hz to 16000 Hz"]
    assert all(text in result.out for text in said)
    came_out(result, said=re.findall(r"^note +(.*)", result.out, re.MULTILINE))


@pytest.mark.fault(39, "a clip without a sampling rate")
def test_a_clip_without_a_rate(cli, refused):
    soundfile.write(cli.folder / "clip.wav", TONE, 16000, "PCM_16")
    content = bytearray((cli.folder / "clip.wav").read_bytes())
    content[24:28] = bytes(4)
    (cli.folder / "clip.wav").write_bytes(content)
    assert "clip.wav" in refused("audio=clip.wav").error_line


@pytest.mark.fault(40, "a truncated clip, a damaged one, a file that is not audio")
def test_a_damaged_clip(cli, refused, came_out):
    soundfile.write(cli.folder / "clip.wav", TONE, 16000)
    soundfile.write(cli.folder / "clip.flac", TONE, 16000)
    whole, flac = (cli.folder / "clip.wav").read_bytes(), (cli.folder / "clip.flac").read_bytes()
    for name, content, message in (
        ("cut.wav", whole[:-100], "is truncated"),
        ("cut.flac", flac[: len(flac) // 2], "cannot be decoded"),
        ("header.wav", whole[:12] + b"\xff" * 64, "cannot be decoded"),
        ("text.wav", b"<html>not found</html>", "is neither WAV nor FLAC"),
    ):
        (cli.folder / name).write_bytes(content)
        result = refused(f"audio={name}")
        assert name in result.error_line
        assert message in result.error_line
        came_out(result)


@pytest.mark.fault(41, "a missing data set, an empty one, one whose first clip is damaged")
def test_no_clip_no_proof(cli, came_out, tmp_path):
    left_out = ("model", "model.num_labels", "model.max_length")
    sizes = [override for override in TINY_OVERRIDES if override.partition("=")[0] not in left_out]
    arguments = ["model=ast_speech_commands_v2", *sizes, "checkpoint=synthetic", "tracking=off"]
    for rows, code, message in (
        (None, 4, "the first clip of google/speech_commands v0.02 cannot be downloaded"),
        ([], 4, "the first clip of google/speech_commands v0.02 cannot be downloaded"),
        ([b"RIFF, and then no more"], 3, "clip hf://datasets/google/speech_commands/v0.02/validation[0]"),
    ):
        with HubServer(tmp_path / f"hub{code}{rows is None}") as hub:
            add_labels_and_clip(hub)
            if rows is not None:
                add_speech_commands(hub, rows)
            result = cli(*arguments, **hub.environment(None))
        assert result.code == code, result.err
        assert message in result.error_line
        came_out(result)
        assert not list((cli.outputs / "models").iterdir())
