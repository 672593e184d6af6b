import errno
import io
import socket
from pathlib import Path

import pytest
import torch
from servers import Reply, Server

from ast2hf.checkpoint import download
from ast2hf.errors import DownloadError, InputError


def checkpoint_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(1000)}, buffer)
    return buffer.getvalue()


CONTENT = checkpoint_bytes()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        yield server


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were to be waited between attempts; none is."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


def ignore(done: int, total: int | None) -> None:
    pass


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_fetched_once_and_kept(server, tmp_path):
    server.replies["/a/model.pth"] = [Reply(body=CONTENT)]
    seen = []
    path = download.fetch(f"{server.url}/a/model.pth?dl=1", tmp_path, lambda *progress: seen.append(progress))
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == ["model.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert download.fetch(f"{server.url}/a/model.pth?dl=1", tmp_path, ignore) == path
    assert server.requests == [("GET", "/a/model.pth")]


def test_with_the_file_in_the_cache_no_server_is_needed(tmp_path):
    url = f"http://127.0.0.1:{unused_port()}/model.pth"
    path = download.cached_path(url, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert download.fetch(url, tmp_path, ignore) == path


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-10], CONTENT.replace(b"\x00\x00\x80\x3f", b"\x00\x00\x80\x3e", 1)])
def test_a_damaged_cached_file_is_fetched_again(server, tmp_path, damaged):
    server.replies["/model.pth"] = [Reply(body=CONTENT)]
    url = f"{server.url}/model.pth"
    path = download.cached_path(url, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged)
    assert download.fetch(url, tmp_path, ignore).read_bytes() == CONTENT


def test_what_a_killed_run_left_is_overwritten(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=CONTENT)]
    url = f"{server.url}/model.pth"
    path = download.cached_path(url, tmp_path)
    path.parent.mkdir(parents=True)
    path.with_name("model.pth.part").write_bytes(b"x" * 100_000)
    assert download.fetch(url, tmp_path, ignore).read_bytes() == CONTENT
    assert files(tmp_path) == ["model.pth"]


def test_a_redirect_is_followed(server, tmp_path):
    server.replies["/old"] = [Reply(302, headers={"Location": "/new.pth"})]
    server.replies["/new.pth"] = [Reply(body=CONTENT)]
    assert download.fetch(f"{server.url}/old", tmp_path, ignore).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, waits, status):
    server.replies["/model.pth"] = [Reply(status), Reply(body=CONTENT)]
    assert download.fetch(f"{server.url}/model.pth", tmp_path, ignore).read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert waits == [0.5]


@pytest.mark.parametrize(("asked", "waited"), [("7", 7), ("100000", download.MAX_WAIT)])
def test_retry_after_is_heeded_within_reason(server, tmp_path, waits, asked, waited):
    server.replies["/model.pth"] = [Reply(429, headers={"Retry-After": asked}), Reply(body=CONTENT)]
    download.fetch(f"{server.url}/model.pth", tmp_path, ignore)
    assert waits == [waited]


def failure(url: str, cache: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        download.fetch(url, cache, ignore)
    assert files(cache) == []
    return str(caught.value)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_retried(server, tmp_path, waits, status):
    server.replies["/model.pth"] = [Reply(status)]
    assert f"/model.pth answered with status {status}" in failure(f"{server.url}/model.pth", tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_stays_busy_is_given_up(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(503)]
    assert "127.0.0.1 did not deliver the checkpoint in 4 attempts (status 503)" in failure(
        f"{server.url}/model.pth", tmp_path
    )
    assert len(server.requests) == 4


def test_a_body_shorter_than_promised_is_retried_and_not_kept(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(body=CONTENT[:500], promise=len(CONTENT))]
    assert "in 4 attempts" in failure(f"{server.url}/model.pth", tmp_path)
    assert len(server.requests) == 4


@pytest.mark.parametrize("body", [CONTENT[:-1], CONTENT[:500], b"<html>expired"])
def test_a_body_of_unknown_length_is_vetted_and_not_kept(server, tmp_path, body):
    server.replies["/model.pth"] = [Reply(body=body, unsized=True)]
    with pytest.raises(InputError, match=r"incomplete or damaged|HTML page"):
        download.fetch(f"{server.url}/model.pth", tmp_path, ignore)
    assert files(tmp_path) == []


def test_a_page_is_no_checkpoint(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})]
    assert "is an HTML page, not a checkpoint" in failure(f"{server.url}/model.pth", tmp_path)


def test_the_size_is_capped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_FILE", 1000)
    server.replies["/sized"] = [Reply(body=b"x" * 1001)]
    server.replies["/endless"] = [Reply(body=b"x" * 1_000_000, unsized=True)]
    assert "sends more than 1,000 bytes" in failure(f"{server.url}/sized", tmp_path)
    assert "sends more than 1,000 bytes" in failure(f"{server.url}/endless", tmp_path)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/model.pth", "redirects without end"),
        ("file:///etc/passwd", "leads to no web address"),
        ("ftp://127.0.0.1/x", "leads to no web address"),
    ],
)
def test_bad_redirects_are_refused(server, tmp_path, location, words):
    server.replies["/model.pth"] = [Reply(302, headers={"Location": location})]
    assert words in failure(f"{server.url}/model.pth", tmp_path)


@pytest.mark.parametrize("url", ["http://", "http:///x", "http:x", "http://127.0.0.1:port/x"])
def test_addresses_that_are_none(tmp_path, url):
    assert "leads to no web address" in failure(url, tmp_path)


def unused_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return closed.getsockname()[1]


def test_a_refused_connection_names_the_host(tmp_path, waits, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = failure(f"http://127.0.0.1:{unused_port()}/model.pth", tmp_path)
    assert message.startswith("127.0.0.1 did not deliver")
    assert "checkpoint=PATH" in message


def test_secrets_in_the_address_are_not_shown(server, tmp_path):
    url = server.url.replace("http://", "http://user:canary@") + "/model.pth?token=canary#canary"
    assert "canary" not in failure(url, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    server.replies["/model.pth"] = [Reply(body=CONTENT)]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "cannot be kept" in failure(f"{server.url}/model.pth", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"give paths\.cache="):
        download.fetch(f"{server.url}/model.pth", tmp_path / "file", ignore)


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
    path = download.cached_path(url, tmp_path)
    assert path.name == name
    assert path.parent.parent == tmp_path / "checkpoints"
    assert path.parent != download.cached_path(url + "&v=2", tmp_path).parent
