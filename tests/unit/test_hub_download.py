"""Fetching a file from a Hub on loopback, and what there is to read where that fails."""

import os
import time

import pytest
from support.hub_server import Fault, HubServer

from ast2hf import hub_download
from ast2hf.config import HubFile, HubRow
from ast2hf.errors import DownloadError, InputError

FILE = HubFile("owner/labels", "a/labels.json")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The Hub of this process, with an empty cache. Nobody waits between two attempts."""
    waits = []
    with HubServer(tmp_path / "hub") as hub, hub.of_this_process(HF_HOME=str(tmp_path / "home")):
        monkeypatch.setattr(time, "sleep", waits.append)
        hub.add(FILE.repo, FILE.filename, b'["Speech"]')
        yield hub
    assert sum(waits) < 5, waits  # huggingface_hub by itself waits for 23 s


def fetch():
    return hub_download.fetch(FILE, "label file", "labels=PATH").read_text()


def test_a_file_is_fetched_once_and_then_served_from_the_cache(hub):
    assert fetch() == '["Speech"]'
    asked = len(hub.asked("GET", FILE.filename))
    assert asked
    assert fetch() == '["Speech"]'
    assert len(hub.asked("GET", FILE.filename)) == asked


def check_refusal():
    with pytest.raises(DownloadError) as caught:
        fetch()
    assert caught.value.cause.startswith("label file a/labels.json of owner/labels cannot be downloaded")
    assert str(caught.value).endswith("check the network, or set labels=PATH")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_a_download_error_with_a_remedy(hub, status):
    hub.faults += [Fault("HEAD", FILE.filename, status), Fault("GET", FILE.filename, status)]
    check_refusal()
    assert hub.requests


def test_an_unreachable_hub_is_a_download_error(hub, free_port):
    with hub.of_this_process(HF_ENDPOINT=f"http://127.0.0.1:{free_port}"):
        check_refusal()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_cached_clip_that_is_not_a_file_is_streamed_again(tmp_path, monkeypatch, make):
    row = HubRow("owner/clips", "c", "train", "main")
    monkeypatch.setattr(hub_download, "_stream", lambda *_: b"clip")
    assert hub_download.stream_first_clip(row, tmp_path, "audio=PATH") == b"clip"
    (path,) = (tmp_path / "clips").iterdir()
    path.unlink()
    make(path)
    assert hub_download.stream_first_clip(row, tmp_path, "audio=PATH") == b"clip"
    assert not path.is_symlink()
    assert path.read_bytes() == b"clip"


@pytest.mark.parametrize(("name", "make"), [("a.json", os.mkfifo), ("b", lambda path: path.mkdir())])
def test_a_model_folder_with_a_pipe_in_place_of_a_file_is_refused(tmp_path, name, make):
    assert hub_download.model_folder(str(tmp_path), ["a.json", "b"]) == tmp_path
    make(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name} cannot be read \(it is a (pipe|folder), not a regular file\)"):
        hub_download.model_folder(str(tmp_path), ["a.json", "b"])
    (tmp_path / "c").mkdir()
    assert hub_download.model_folder(str(tmp_path), ["c.json"]) == tmp_path
