"""Cases 70 to 72: secrets, control characters, a closed stdout."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from conftest import TINY, TINY_OVERRIDES
from support.servers import Reply, Server

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

CLOSED_STDOUT = ("bash", "-c", 'exec "$@" >&-', "bash")
"""Runs the command in its arguments with a closed stdout."""

CANARY = "hf_CanaryThatMustNotSing0123"


def sightings(folder: Path, *texts: str) -> list[str]:
    """Where the canary is: files under ``folder`` by content or name, and ``texts``."""
    found = [
        str(p) for p in folder.rglob("*") if CANARY in p.name or (p.is_file() and CANARY.encode() in p.read_bytes())
    ]
    return found + [text for text in texts if CANARY in text]


@pytest.fixture
def seen(cli, tmp_path):
    """Run a command that has the canary somewhere; its result, with the places where it can be found afterwards."""

    def seen(*arguments: str, **environment: str):
        result = cli(*TINY_OVERRIDES, *arguments, **environment)
        return result, sightings(tmp_path, result.out, result.err)

    return seen


def test_the_search_finds_a_canary(tmp_path):
    (tmp_path / "a").write_text(f"x{CANARY}x")
    assert sightings(tmp_path, f"y{CANARY}") == [str(tmp_path / "a"), f"y{CANARY}"]


@pytest.mark.fault(
    70, "a token in the environment, on the command line, in a URL, in the tracking URI; success and failure"
)
def test_a_token_in_the_environment(seen, came_out):
    codes = []
    for overrides, code in ((["tracking=mlflow"], 0), (["checkpoint=missing.pth", "output_dir=b", "debug=true"], 3)):
        result, places = seen("experiment=offline", *overrides, HF_TOKEN=CANARY)
        assert result.code == code, result.err
        assert places == []
        codes.append(result.code)
    came_out(exit_codes=codes, places_where_the_token_is_found=places)


@pytest.mark.fault(70, "a token on the command line")
@pytest.mark.parametrize("argument", [f"hub.token={CANARY}", f"+HF_TOKEN={CANARY}", f"labels={CANARY}"])
def test_a_token_on_the_command_line(seen, cli, argument):
    result, places = seen("experiment=offline", argument)
    assert result.code == 2, result.err
    assert "the command line contains a token or password" in result.error_line
    assert places == []
    assert list(cli.folder.iterdir()) == []  # refused before Hydra writes anything


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.mark.fault(70, "a token in the query of a URL")
@pytest.mark.parametrize("multirun", [False, True])
def test_a_token_in_the_query_of_a_url(seen, server, tmp_path, multirun):
    checkpoint = tmp_path / "tiny.pth"
    synthetic.write(checkpoint, AST, TINY, 1)
    server.replies["/a.pth"] = [Reply(body=checkpoint.read_bytes())]
    server.replies["/page.pth"] = [Reply(body=b"<html>", headers={"Content-Type": "text/html"})]
    audio = ("labels=none", "audio=packaged", "tracking=mlflow")
    for name, code in (("a.pth", 0), ("page.pth", 4), ("missing.pth", 4)):
        url = server.url.replace("http://", f"http://user:{CANARY}@") + f"/{name}?token={CANARY}&dl=1"
        several = ("-m", "checkpoint=${oc.env:ONE},${oc.env:TWO}") if multirun else ("checkpoint=${oc.env:ONE}",)
        output = f"output_dir=out/{name}${{hydra:job.num}}" if multirun else f"output_dir=out/{name}"
        result, places = seen(*audio, *several, "debug=true", output, ONE=url, TWO=f"{url}2")
        assert result.code == code, result.err
        assert places == []
    assert "GET" in {method for method, _ in server.requests}


@pytest.mark.fault(70, "a URL with a secret on the command line")
@pytest.mark.parametrize(
    ("argument", "variable"),
    [
        (f"checkpoint=http://h/a.pth?token={CANARY}", "CHECKPOINT_URL"),
        (f'checkpoint="http://h/a.pth?token=x{CANARY[3:]}"', "CHECKPOINT_URL"),
        (f"tracking.uri=http://user:x{CANARY[3:]}@127.0.0.1:5000", "TRACKING_URI"),
    ],
)
def test_an_address_with_a_secret_on_the_command_line(seen, cli, came_out, argument, variable):
    result, places = seen("experiment=offline", argument, "debug=true")
    assert result.code == 2, result.err
    if CANARY in argument:
        assert "the command line contains a token or password" in result.error_line
    else:
        assert f"export {variable}='…'" in result.error_line
        assert f"='${{oc.env:{variable}}}'" in result.error_line
    assert CANARY[3:] not in result.out + result.err
    assert places == []
    assert list(cli.folder.iterdir()) == []  # refused before Hydra writes anything
    came_out(result)


@pytest.mark.fault(70, "a password in tracking.uri")
def test_a_password_in_the_tracking_address(seen, server, free_port):
    server.replies["/health"] = [Reply(500)]
    for port in (free_port, server.url.rpartition(":")[2]):
        uri = f"http://user:{CANARY}@127.0.0.1:{port}"
        tracking = "tracking.uri=${oc.env:TRACKING_URI}"
        result, places = seen("experiment=offline", tracking, "overwrite=true", "debug=true", TRACKING_URI=uri)
        assert result.code == 0, result.err
        assert "not recorded" in result.out
        assert places == []


@pytest.mark.fault(71, "newlines and ESC in a path, a label, a URL")
def test_control_characters_are_escaped(cli, server, came_out):
    evil = "a\nerror: b\x1b[31m.pth"
    (cli.folder / "labels.csv").write_text("index,display_name\n" + '0,"a\nb\x1b[31m"\n')
    for overrides, code in (
        ((f"checkpoint={shlex.quote(evil)}",), 3),
        ((f'checkpoint="{server.url}/{evil}"',), 4),
        (("labels=labels.csv",), 3),
    ):
        result = cli("experiment=offline", "tracking=off", *TINY_OVERRIDES, *overrides)
        assert result.code == code, result.err
        assert result.error_line.startswith("error: ")
        logs = [path.read_text() for path in cli.outputs.glob("runs/*/ast2hf.log")]
        assert logs
        assert not [text for text in (result.out, result.err, *logs) if "\x1b" in text or "\nerror: b" in text]
    came_out(result)


@pytest.mark.fault(72, "stdout closed")
def test_a_closed_stdout(cli, came_out):
    result = cli.cold("experiment=offline", "tracking=off", *TINY_OVERRIDES, wrapper=CLOSED_STDOUT)
    assert result.code == 6, result.err
    assert "cannot write to stdout (it is closed)" in result.error_line
    report = json.loads((cli.model_folder() / "conversion_report.json").read_text())
    assert report["status"] == "passed"
    came_out(result, proof=report["status"])
