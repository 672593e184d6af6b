import errno
import os
import subprocess

import pytest
import torch
from filelock import FileLock
from loopback import CONTENT, SHA256, fetch, kept
from support.servers import Reply, Server

from ast2hf.checkpoint import cache
from ast2hf.config import Download
from ast2hf.errors import DownloadError

OTHER = CONTENT.replace(b"\x00\x00\x80\x3f", b"\x00\x00\x80\x3e", 1)
"""The same with a flipped bit."""


@pytest.fixture
def server():
    with Server() as server:
        server.replies["/model.pth"] = [Reply(body=CONTENT)]
        yield server


@pytest.fixture
def another(tmp_path):
    """Another whole checkpoint, of as many bytes."""
    torch.save({"w": torch.zeros(100_000)}, tmp_path / "another.pth")
    content = (tmp_path / "another.pth").read_bytes()
    (tmp_path / "another.pth").unlink()
    return content


def put(url, folder, content):
    path = cache.cached_path(url, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_fetched_once_and_kept_with_its_hash(server, tmp_path):
    url = f"{server.url}/model.pth?dl=1"
    path = fetch(url, tmp_path)
    assert path.read_bytes() == CONTENT
    assert kept(tmp_path) == ["model.pth", "model.pth.sha256"]
    assert fetch(url, tmp_path) == path
    assert server.requests == [("GET", "/model.pth")]
    subprocess.run(["sha256sum", "--check", "--status", "model.pth.sha256"], cwd=path.parent, check=True)


def test_with_the_file_in_the_cache_no_server_is_needed(tmp_path, free_port):
    url = f"http://127.0.0.1:{free_port}/model.pth"
    path = put(url, tmp_path, CONTENT)
    assert fetch(url, tmp_path) == path
    assert cache.pin_path(path).read_text() == f"{SHA256}  model.pth\n"


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-10], OTHER])
def test_a_damaged_cached_file_is_fetched_again(server, tmp_path, damaged):
    url = f"{server.url}/model.pth"
    put(url, tmp_path, damaged)
    assert fetch(url, tmp_path).read_bytes() == CONTENT


def test_a_repeated_download_must_have_the_same_hash(server, tmp_path, another):
    url = f"{server.url}/model.pth"
    path = fetch(url, tmp_path)
    path.write_bytes(OTHER)
    server.replies["/model.pth"] = [Reply(body=another)]
    with pytest.raises(DownloadError) as caught:
        fetch(url, tmp_path)
    found, pin = cache.hashlib.sha256(another).hexdigest(), cache.pin_path(path)
    assert caught.value.cause == f"{url} now has SHA-256 {found}, but had {SHA256} when it was first downloaded"
    assert caught.value.remedy == f"if its publisher has changed it, set model.sha256={found} once, or delete {pin}"
    assert path.read_bytes() == OTHER
    assert fetch(url, tmp_path, sha256=found).read_bytes() == another
    assert fetch(url, tmp_path).read_bytes() == another
    pin.unlink()
    path.unlink()
    server.replies["/model.pth"] = [Reply(body=CONTENT)]
    assert fetch(url, tmp_path).read_bytes() == CONTENT


def test_the_user_s_hash_is_checked_before_anything_is_kept(server, tmp_path):
    with pytest.raises(DownloadError, match=f"has SHA-256 {SHA256}, but model.sha256 is {'0' * 64}"):
        fetch(f"{server.url}/model.pth", tmp_path, sha256="0" * 64)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [".locks"]
    assert fetch(f"{server.url}/model.pth", tmp_path, sha256=SHA256).read_bytes() == CONTENT


def test_a_cached_file_of_another_hash_than_the_user_s_is_replaced(server, tmp_path, another):
    url = f"{server.url}/model.pth"
    put(url, tmp_path, another)
    assert fetch(url, tmp_path).read_bytes() == another
    assert fetch(url, tmp_path, sha256=SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", b"\xff", b"0" * 63 + b"  model.pth\n"])
def test_a_hash_file_without_a_hash_is_named(server, tmp_path, content):
    path = fetch(f"{server.url}/model.pth", tmp_path)
    cache.pin_path(path).write_bytes(content)
    with pytest.raises(DownloadError, match=r"model.pth.sha256 does not contain a SHA-256; delete it"):
        fetch(f"{server.url}/model.pth", tmp_path)


def a_folder(path):
    path.mkdir()


def a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, a_device])
def test_a_cached_path_that_is_not_a_file_is_downloaded_again(server, tmp_path, make):
    url = f"{server.url}/model.pth"
    path = put(url, tmp_path, b"")
    path.unlink()
    make(path)
    assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert not path.is_symlink()


@pytest.mark.parametrize("make", [os.mkfifo, a_device, a_folder])
def test_an_invalid_hash_file_is_named(server, tmp_path, make):
    pin = cache.pin_path(fetch(f"{server.url}/model.pth", tmp_path))
    pin.unlink()
    make(pin)
    with pytest.raises(DownloadError, match=r"model.pth.sha256 does not contain a SHA-256; delete it"):
        fetch(f"{server.url}/model.pth", tmp_path)


@pytest.mark.parametrize("name", ["model.pth", "model.pth.part", "model.pth.part.validator", "model.pth.sha256"])
@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_nothing_is_written_through_a_link_in_the_cache(server, tmp_path, name, make):
    url = f"{server.url}/model.pth"
    server.replies["/model.pth"] = [Reply(body=CONTENT, etag='"v1"')]
    path = put(url, tmp_path / "cache", OTHER)
    part, note = path.with_name("model.pth.part"), path.with_name("model.pth.part.validator")
    part.write_bytes(CONTENT[:1000])
    note.write_text('"v1"')
    pin = cache.pin_path(path)
    pin.write_text(f"{SHA256}  model.pth\n")
    victim = tmp_path / "victim"
    before = path.with_name(name).read_bytes()
    victim.write_bytes(before)
    path.with_name(name).unlink()
    make(victim, path.with_name(name))
    assert fetch(url, tmp_path / "cache", sha256=SHA256).read_bytes() == CONTENT
    assert victim.read_bytes() == before
    assert kept(tmp_path / "cache") == ["model.pth", "model.pth.sha256"]


def test_a_run_waits_for_another_only_so_long(server, tmp_path):
    path = cache.cached_path(f"{server.url}/model.pth", tmp_path)
    lock = tmp_path / "checkpoints" / ".locks" / f"{path.parent.name}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(DownloadError, match=r"another run has been downloading .* for 0.1 s"):
        fetch(f"{server.url}/model.pth", tmp_path, limits=Download(1.0, 0.1))
    assert fetch(f"{server.url}/model.pth", tmp_path).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    server.replies["/model.pth"] = [Reply(body=CONTENT)]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DownloadError, match="cannot write the download to"):
        fetch(f"{server.url}/model.pth", tmp_path)
    assert kept(tmp_path) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"set paths\.cache="):
        fetch(f"{server.url}/model.pth", tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/model.pth?dl=1", "model.pth"),
        ("http://h/a%2Fb%00c.pth", "a_b_c.pth"),
        ("http://h/%2e%2e", "checkpoint"),
        ("http://h/..", "checkpoint"),
        ("http://h", "checkpoint"),
        ("http://h/" + "\u6a21" * 300, "_" * 100),
    ],
)
def test_names_in_the_cache_are_safe(tmp_path, url, name):
    path = cache.cached_path(url, tmp_path)
    assert path.name == name
    assert path.parent.parent == tmp_path / "checkpoints"
    assert path.parent != cache.cached_path(url + "&v=2", tmp_path).parent
