"""Cases 24 to 34, and 58: the download. Servers on loopback misbehave; the command is given as a user gives it."""

from __future__ import annotations

import hashlib
import os
import signal
import time

import pytest
from conftest import TINY, TINY_OVERRIDES
from support.servers import Reply, Server

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

SECRET = "canary"

OFFLINE = ("experiment=offline", "tracking=off", *TINY_OVERRIDES)

PLAN = ("dry_run=true",)
"""What follows a download is another matter: it is enough that the checkpoint is read and its plan made."""


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def content(tiny_checkpoint):
    return tiny_checkpoint.read_bytes()


@pytest.fixture
def run(cli, server):
    """Fetch the checkpoint from the server and plan its conversion."""

    def run(*arguments, path="/tiny.pth"):
        result = cli(*OFFLINE, CHECKPOINT, *PLAN, *arguments, **address_of(server, path))
        assert SECRET not in result.out + result.err
        assert SECRET not in "".join(p.read_text() for p in cli.outputs.glob("runs/*/*") if p.is_file())
        return result

    return run


CHECKPOINT = "checkpoint=${oc.env:CHECKPOINT_URL}"
"""An address with a secret is refused on the command line."""


def address_of(server, path="/tiny.pth"):
    return {"CHECKPOINT_URL": f"{server.url}{path}?token={SECRET}"}


def kept(cli):
    """The names of the files in the cache, its locks aside."""
    return sorted(p.name for p in cache_of(cli).rglob("*") if p.is_file() and p.suffix != ".lock")


def cache_of(cli):
    return cli.folder.parent / "cache"


def failed(cli, result, code=4):
    """The contract of a fault: its exit code, one line, nothing made and nothing left."""
    assert result.code == code, result.err
    cause, _, remedy = result.error_line.removeprefix("error: ").partition("; ")
    assert cause
    assert remedy
    assert kept(cli) == []
    assert not (cli.outputs / "models").exists()
    assert not [p for p in cli.outputs.rglob("*") if p.name.startswith("scratch-") or p.name.endswith(".staging")]
    return result.error_line


@pytest.mark.fault(24, "the body is shorter than its Content-Length, each time")
def test_a_body_that_breaks_off_is_retried_and_then_given_up(cli, run, server, content, came_out):
    server.replies["/tiny.pth"] = [Reply(body=content, cut=len(content) // 2, promise=len(content))]
    result = run()
    assert "did not deliver the checkpoint in 4 attempts" in failed(cli, result)
    assert len(server.requests) == 4
    came_out(result)


@pytest.mark.fault(24, "the connection is dropped in the middle, once")
def test_a_download_resumes_after_a_dropped_connection(cli, run, server, content, came_out):
    half = len(content) // 2
    whole = Reply(body=content, etag='"v1"')
    server.replies["/tiny.pth"] = [Reply(body=content, etag='"v1"', cut=half, promise=len(content)), whole]
    result = run()
    assert result.code == 0, result.err
    assert server.headers[1]["Range"] == f"bytes={half}-"
    assert kept(cli) == ["tiny.pth", "tiny.pth.sha256"]
    came_out(result, asked_for=server.headers[1]["Range"])


@pytest.mark.fault(25, "no Content-Length, and the body is cut short")
@pytest.mark.parametrize("missing", [1, 1000])
def test_a_short_body_of_unknown_length_is_noticed(cli, run, server, content, came_out, missing):
    server.replies["/tiny.pth"] = [Reply(body=content[:-missing], unsized=True)]
    result = run()
    assert "incomplete or damaged" in failed(cli, result, code=3)
    came_out(result)


@pytest.mark.fault(26, "200 with an HTML page")
@pytest.mark.parametrize(("headers", "code"), [({"Content-Type": "text/html"}, 4), ({}, 3)])
def test_a_web_page_is_not_a_checkpoint(cli, run, server, came_out, headers, code):
    server.replies["/tiny.pth"] = [Reply(body=b"<!DOCTYPE html><title>Gone</title>", headers=headers)]
    result = run()
    line = failed(cli, result, code)
    assert "is an HTML page" in line
    assert "dl=1" in line
    came_out(result)


@pytest.mark.fault(27, "404, 403, 429 with Retry-After of an hour, endless 503")
@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (429, 1), (503, 4)])
def test_a_refusal_is_fatal_and_a_fault_is_retried(cli, run, server, came_out, status, requests):
    server.replies["/tiny.pth"] = [Reply(status, headers={"Retry-After": "3600"} if status == 429 else {})]
    result = run()
    assert f"status {status}" in failed(cli, result)
    assert len(server.requests) == requests
    came_out(result)


@pytest.mark.fault(27, "429 with Retry-After, then 500, then 200")
def test_a_server_that_recovers_is_waited_for(run, server, content, came_out):
    server.replies["/tiny.pth"] = [Reply(429, headers={"Retry-After": "2"}), Reply(500), Reply(body=content)]
    start = time.monotonic()
    result = run()
    assert result.code == 0, result.err
    assert time.monotonic() - start > 3
    came_out(result, requests=len(server.requests))


@pytest.mark.fault(28, "a server that stops sending halfway")
@pytest.mark.parametrize(
    "reply", [{"cut": 100_000, "stalls": True}, {"cut": 0, "stalls": True}, {"pause": 0.2}], ids=str
)
def test_a_stalled_server_is_left(cli, run, server, content, came_out, reply):
    server.replies["/tiny.pth"] = [Reply(body=content, promise=len(content), **reply)]
    result = run("download.timeout_s=0.5", "download.deadline_s=2")
    assert "was not downloaded in 2 s" in failed(cli, result)
    came_out(result)


@pytest.mark.fault(29, "endless redirects, and a redirect to file://")
@pytest.mark.parametrize("location", ["/tiny.pth", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_bad_redirects_are_refused(cli, run, server, came_out, location):
    server.replies["/tiny.pth"] = [Reply(302, headers={"Location": location})]
    result = run()
    words = "redirects endlessly" if location == "/tiny.pth" else "is not an http(s) URL"
    assert words in failed(cli, result)
    came_out(result)


@pytest.mark.fault(30, "a Content-Length of a terabyte, and an endless body")
@pytest.mark.parametrize("size", [{"promise": 1 << 40}, {"unsized": True}], ids=str)
def test_an_endless_body_is_ended(cli, run, server, came_out, size):
    server.replies["/tiny.pth"] = [Reply(body=b"x" * 10_000, endless=True, pause=0.001, **size)]
    result = run() if "promise" in size else run("download.deadline_s=2")
    words = "sent more than 17,179,869,184 bytes" if "promise" in size else "was not downloaded in 2 s"
    assert words in failed(cli, result)
    came_out(result)


@pytest.mark.fault(31, "SHA-256 mismatch")
def test_a_file_of_another_hash_is_not_kept(cli, run, server, content, came_out):
    server.replies["/tiny.pth"] = [Reply(body=content)]
    found = hashlib.sha256(content).hexdigest()
    result = run(f"model.sha256={'0' * 64}")
    line = failed(cli, result)
    assert found in line
    assert "0" * 64 in line
    came_out(result)
    assert run(f"model.sha256={found}").code == 0


@pytest.mark.fault(31, "SHA-256 mismatch of a local file")
def test_a_local_file_of_another_hash_is_refused_before_it_is_published(cli, tiny_checkpoint, came_out):
    result = cli(*OFFLINE, f"checkpoint={tiny_checkpoint}", f"model.sha256={'0' * 64}")
    assert f"has SHA-256 {hashlib.sha256(tiny_checkpoint.read_bytes()).hexdigest()}" in result.error_line
    assert result.code == 3
    assert not cli.model_folder().exists()
    came_out(result)


@pytest.mark.fault(32, "the file in the cache is damaged")
def test_a_damaged_file_in_the_cache_is_fetched_again_and_must_be_the_same(cli, run, server, content, came_out):
    server.replies["/tiny.pth"] = [Reply(body=content)]
    assert run().code == 0
    (cached,) = cache_of(cli).rglob("tiny.pth")
    cached.write_bytes(content[:-1])
    result = run()
    assert result.code == 0, result.err
    assert cached.read_bytes() == content
    came_out(result, requests=len(server.requests), same_bytes_as_at_first=cached.read_bytes() == content)
    synthetic.write(cached, AST, TINY, 2)
    server.replies["/tiny.pth"] = [Reply(body=cached.read_bytes())]
    replaced = run()
    assert replaced.code == 3
    assert f"{cached} has SHA-256" in replaced.error_line
    cached.unlink()
    changed = run()
    assert changed.code == 4
    assert "has SHA-256" in changed.error_line
    assert kept(cli) == ["tiny.pth.sha256"]


@pytest.mark.fault(33, "the process is killed in the middle of the download")
@pytest.mark.parametrize(
    ("number", "etag"),
    [(signal.SIGKILL, '"v1"'), (signal.SIGKILL, None), (signal.SIGTERM, '"v1"'), (signal.SIGINT, '"v1"')],
)
def test_after_a_kill_the_next_run_resumes_or_starts_over(cli, run, server, content, came_out, number, etag):
    half = len(content) // 2
    stalled = Reply(body=content, etag=etag, cut=half, promise=len(content), stalls=True)
    server.replies["/tiny.pth"] = [stalled, Reply(body=content, etag=etag)]
    command = cli.start(*OFFLINE, *PLAN, CHECKPOINT, **address_of(server))
    while not any(p.stat().st_size for p in cache_of(cli).rglob("tiny.pth.part")):
        assert command.is_running(), command.wait()
        time.sleep(0.01)
    os.kill(command.pid, number)
    command.wait()
    (part,) = cache_of(cli).rglob("tiny.pth.part")
    arrived = part.stat().st_size
    result = run()
    assert result.code == 0, result.err
    assert server.headers[1]["Range"] == (f"bytes={arrived}-" if etag else None)
    (cached,) = cache_of(cli).rglob("tiny.pth")
    assert cached.read_bytes() == content
    assert kept(cli) == ["tiny.pth", "tiny.pth.sha256"]
    came_out(result, only_the_rest_was_asked_for="Range" in server.headers[1])


@pytest.mark.fault(34, "a port on which nothing listens")
def test_a_refused_connection_names_the_host(cli, free_port, came_out):
    result = cli(*OFFLINE, f"checkpoint='http://127.0.0.1:{free_port}/tiny.pth'", *PLAN)
    assert failed(cli, result).startswith("error: 127.0.0.1 did not deliver the checkpoint")
    came_out(result)


@pytest.mark.fault(34, "no network, and the file in the cache")
def test_with_the_file_in_the_cache_no_network_is_needed(cli, content, came_out):
    with Server() as server:
        server.replies["/tiny.pth"] = [Reply(body=content)]
        address = address_of(server)
        assert cli(*OFFLINE, CHECKPOINT, *PLAN, **address).code == 0
    result = cli(*OFFLINE, CHECKPOINT, *PLAN, **address)
    assert result.code == 0, result.err
    came_out(result, requests=len(server.requests))


@pytest.mark.fault(58, "four simultaneous runs with the same URL")
def test_four_runs_share_one_download(cli, server, content, came_out):
    server.replies["/tiny.pth"] = [Reply(body=content, pause=0.05)]
    commands = [cli.start(*OFFLINE, *PLAN, CHECKPOINT, **address_of(server)) for _ in range(4)]
    results = [command.wait() for command in commands]
    assert [result.code for result in results] == [0] * 4, results
    assert server.requests == [("GET", "/tiny.pth")]
    assert kept(cli) == ["tiny.pth", "tiny.pth.sha256"]
    came_out(exit_codes=[result.code for result in results], requests=len(server.requests))
