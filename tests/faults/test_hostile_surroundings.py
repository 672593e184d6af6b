"""Cases 77 and 80 to 88: what surrounds the checkpoint: clips, labels, pipes, links, names, warnings."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import TINY, TINY_OVERRIDES
from markdown_it import MarkdownIt
from support.servers import Reply, Server

import ast2hf
from ast2hf.checkpoint import cache, synthetic
from ast2hf.families.ast import AST

NAMES = [f"name {i}" for i in range(7)]

OFFLINE = ("experiment=offline", "tracking=off", *TINY_OVERRIDES)

PATIENCE = 300
"""Seconds after which a run is taken to wait for ever."""


@pytest.fixture
def finished(cli):
    """Run a command that must come to an end by itself."""

    def finished(*overrides: str):
        command = cli.start(*OFFLINE, *overrides)
        end = time.monotonic() + PATIENCE
        while command.is_running():
            if time.monotonic() > end:
                os.kill(command.pid, signal.SIGKILL)
                pytest.fail(f"{overrides} waits for ever")
            time.sleep(0.02)
        return command.wait()

    return finished


@pytest.fixture
def refused(cli, finished):
    """The result of a command that must end with exit 3, in one line, and leave nothing."""

    def refused(*overrides: str):
        result = finished(*overrides)
        assert result.code == 3, result.err
        cause, _, remedy = result.error_line.removeprefix("error: ").partition("; ")
        assert cause
        assert remedy
        assert not (cli.outputs / "models").exists() or not list((cli.outputs / "models").iterdir())
        return result

    return refused


def flac(seconds: int, rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(seconds * rate, np.int16), rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


@pytest.mark.fault(77, "a FLAC of a few KB at 1000 Hz that lasts five hours")
def test_a_clip_that_grows_when_it_is_resampled(cli, refused, came_out):
    (cli.folder / "clip.flac").write_bytes(flac(18_000, 1000))
    assert (cli.folder / "clip.flac").stat().st_size < 200_000
    result = refused("audio=clip.flac")
    assert "clip.flac lasts 18,000 s" in result.error_line
    came_out(result)


@pytest.mark.fault(80, "a clip with samples of 3e38; with an infinite one; with channels whose sum is one")
def test_a_clip_of_impossible_values_is_the_clip_s_fault_and_not_the_proof_s(cli, refused, came_out):
    one = np.arange(16000) == 7
    for samples, message in (
        (np.where(one, np.float32(3e38), 0), "has samples of up to 3.0e+38"),
        (np.where(one, np.float32(np.inf), 0), "contains NaN or infinite samples"),
        (np.full((16000, 2), np.float32(-3e38)), "has samples of up to 3.0e+38"),
    ):
        soundfile.write(cli.folder / "clip.wav", samples, 16000, "FLOAT")
        result = refused("audio=clip.wav")
        assert message in result.error_line
        came_out(result)


@pytest.mark.fault(81, "a pipe, a socket, /dev/zero, /dev/urandom, a folder as labels, clip and checkpoint")
def test_a_path_that_is_not_a_file_is_refused_at_once(cli, refused, came_out):
    os.mkfifo(cli.folder / "pipe")
    (cli.folder / "folder").mkdir()
    subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX).bind('socket')"],
        cwd=cli.folder, check=True,
    )  # fmt: skip
    for setting, words in (
        ("labels=pipe", "label file pipe cannot be read (it is a pipe, not a regular file)"),
        ("labels=/dev/zero", "it is a device, not a regular file"),
        ("labels=socket", "it is a socket, not a regular file"),
        ("audio=pipe", "clip pipe cannot be read (it is a pipe, not a regular file)"),
        ("audio=/dev/urandom", "it is a device, not a regular file"),
        ("audio=folder", "it is a folder, not a regular file"),
        ("checkpoint=pipe", "not a regular file"),
        ("checkpoint=/dev/zero", "not a regular file"),
    ):
        result = refused(setting)
        assert words in result.error_line
        came_out(result)


@pytest.fixture
def served(cli, tiny_checkpoint):
    """A server with the tiny checkpoint, and where it lies in the cache once it was fetched."""
    with Server() as server:
        server.replies["/tiny.pth"] = [Reply(body=tiny_checkpoint.read_bytes())]
        url = f"{server.url}/tiny.pth"
        yield url, cache.cached_path(url, cli.folder.parent / "cache")


@pytest.mark.fault(82, "in the cache, a pipe in place of the checkpoint or of its hash file")
def test_a_pipe_in_the_cache_is_not_waited_for(finished, served, tiny_checkpoint, came_out):
    url, cached = served
    cached.parent.mkdir(parents=True)
    os.mkfifo(cached)
    result = finished(f'checkpoint="{url}"', "dry_run=true")
    assert result.code == 0, result.err
    assert cached.read_bytes() == tiny_checkpoint.read_bytes()
    came_out(result, is_a_file_again=cached.is_file())
    cache.pin_path(cached).unlink()
    os.mkfifo(cache.pin_path(cached))
    result = finished(f'checkpoint="{url}"', "dry_run=true")
    assert result.code == 4
    assert "does not contain a SHA-256; delete it" in result.error_line


@pytest.mark.fault(83, "the lock and a partial download are links to a file of the user")
@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_nothing_is_written_through_a_link(cli, finished, served, came_out, make):
    victim = cli.folder / "victim"
    victim.write_text("kept")
    models = cli.model_folder().parent
    models.mkdir(parents=True)
    lock = models / f".{cli.model_folder().name}.lock"
    make(victim, lock)
    result = finished("checkpoint=synthetic")
    assert result.code == 6
    assert ".lock cannot be used (" in result.error_line
    assert os.listdir(models) == [lock.name]
    assert victim.read_text() == "kept"
    came_out(result, the_file_is_as_it_was=victim.read_text() == "kept")

    url, cached = served
    cached.parent.mkdir(parents=True)
    for name in (f"{cached.name}.part", f"{cached.name}.part.validator"):
        make(victim, cached.with_name(name))
    assert finished(f'checkpoint="{url}"', "dry_run=true").code == 0
    assert victim.read_text() == "kept"
    assert sorted(os.listdir(cached.parent)) == ["tiny.pth", "tiny.pth.sha256"]


@pytest.mark.fault(84, "a folder named like one that a killed run moved aside")
def test_a_planted_folder_does_not_become_the_model(cli, finished, came_out):
    models = cli.model_folder().parent
    planted = models / f".{cli.model_folder().name}.0123456789ab.previous"
    planted.mkdir(parents=True)
    (planted / "config.json").write_text("planted")
    (planted / "conversion_report.json").write_text('{"status": "passed"}')
    (models / f".{cli.model_folder().name}.lock").write_text(f"moved aside: 0123456789ab inode {2**40}\n")
    result = finished("checkpoint=synthetic", "labels=missing.csv")
    assert result.code == 3
    assert not cli.model_folder().exists()
    result = finished("checkpoint=synthetic")
    assert result.code == 0, result.err
    assert "planted" not in (cli.model_folder() / "config.json").read_text()
    came_out(result, models=sorted(os.listdir(models)))


@pytest.mark.fault(85, "labels with direction-changing and zero-width characters, in CSV, JSON and text")
def test_labels_with_invisible_characters(cli, refused, came_out):
    for name, content, message in (
        ("labels.csv", "index,display_name\n0,good\n1,\u202edoog", r"line 3: label \u202edoog has an invisible"),
        ("labels.json", '["good", "go\\u200bod"]', r"entry 1: label go\u200bod has an invisible character (U+200B)"),
        ("labels.txt", "good\nbad\ngo\u2066od", r"line 3: label go\u2066od has an invisible character (U+2066)"),
        ("labels.txt", "good\n\nbad", "line 2: the label is empty"),
    ):
        (cli.folder / name).write_text(content, encoding="utf-8")
        result = refused(f"labels={name}")
        assert message in result.error_line
        came_out(result)


@pytest.mark.fault(86, "a text file with one name per line and blank lines at its end")
def test_a_name_a_line(cli, finished, came_out):
    (cli.folder / "labels.txt").write_text("\n".join([*NAMES, "", ""]))
    result = finished("checkpoint=synthetic", "labels=labels.txt")
    assert result.code == 0, result.err
    assert '"6": "name 6"' in (cli.model_folder() / "config.json").read_text()
    came_out(result)


EVIL = "`|<img src=x onerror=alert(1)>[x](y)_e_ ~~s~~ $m$ \u202egpj"
"""A name that a file may have."""


def meaning(card: str) -> tuple[object, list[str]]:
    """The metadata of a card, and what Markdown makes of the rest, apart from plain text."""
    _, metadata, body = card.split("---\n", 2)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    inner = [child.type for token in tokens for child in token.children or () if child.type != "text"]
    return yaml.safe_load(metadata), [token.type for token in tokens] + inner


@pytest.mark.fault(87, "file names with Markdown, HTML and direction-changing characters")
def test_names_of_files_have_no_meaning_in_the_card(cli, finished, came_out):
    synthetic.write(cli.folder / "plain.pth", AST, TINY, 0)
    (cli.folder / "plain.csv").write_text("index,label\n" + "".join(f"{i},{name}\n" for i, name in enumerate(NAMES)))
    soundfile.write(cli.folder / "plain.wav", 0.1 * np.ones(16000), 16000)
    found = []
    for name in ("plain", EVIL):
        for suffix in (".pth", ".csv", ".wav"):
            (cli.folder / f"{name}{suffix}").write_bytes((cli.folder / f"plain{suffix}").read_bytes())
        result = finished(
            f'checkpoint="{name}.pth"', f'labels="{name}.csv"', f'audio="{name}.wav"', "overwrite=true",
        )  # fmt: skip
        assert result.code == 0, result.err
        assert "\u202e" not in result.out + result.err
        found.append(meaning((cli.model_folder() / "README.md").read_text(encoding="utf-8")))
    assert found[0] == found[1]
    came_out(result, the_card_means_the_same=found[0] == found[1])


@pytest.mark.fault(88, "a checkpoint that makes torch warn; one named ${oc.env:SECRET}.pth, from Python")
def test_warnings_of_torch_do_not_reach_the_terminal(cli, finished, tiny_checkpoint, came_out):
    torch.save(torch.load(tiny_checkpoint), cli.folder / "strange.pth", pickle_protocol=3)
    result = finished("checkpoint=strange.pth")
    assert result.code == 0, result.err
    strange = [line for line in result.err.splitlines() if not re.fullmatch(r"\S.* \d+\.\d\d s", line)]
    assert strange == []
    came_out(result, other_lines_on_stderr=strange)


@pytest.mark.fault(88, "a checkpoint that makes torch warn; one named ${oc.env:SECRET}.pth, from Python")
def test_a_name_from_python_is_data(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "canary")
    odd = tmp_path / "${oc.env:SECRET}.pth"
    tiny_checkpoint.rename(odd)
    labels = tmp_path / "${oc.env:SECRET}.json"
    labels.write_text('["${oc.env:SECRET}", "b", "c", "d", "e", "f", "g"]')
    done = ast2hf.convert(
        odd, model="ast_16_16", labels=labels, audio="packaged", output_dir=tmp_path / "${oc.env:SECRET}",
        overrides=TINY_OVERRIDES[1:],
    )  # fmt: skip
    assert done.folder == tmp_path / "${oc.env:SECRET}"
    assert done.report.source["uri"] == odd.name
    texts = [
        path.read_text(encoding="utf-8") for path in Path(done.folder).iterdir() if path.suffix in (".json", ".md")
    ]
    assert not [text for text in texts if "canary" in text]
    assert '"0": "${oc.env:SECRET}"' in (done.folder / "config.json").read_text()
