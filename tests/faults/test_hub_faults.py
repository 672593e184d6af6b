"""Cases 65 to 69: the Hub. A folder is converted once; what is pushed then is a copy of it, by skip_existing=true."""

from __future__ import annotations

import base64
import json
import shutil

import pytest
from conftest import TINY, Cli, Result
from support.hub_server import READER, WRITER, Fault, HubServer

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

FILES = ["README.md", "config.json", "conversion_report.json", "model.safetensors", "preprocessor_config.json"]


@pytest.fixture
def hub(tmp_path):
    with HubServer(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The folder above a checkpoint and the model folder that was made of it."""
    parent = tmp_path_factory.mktemp("converted")
    synthetic.write(parent / "tiny.pth", AST, TINY, 1)
    cli = Cli.make(parent)
    result = cli.tiny(f"checkpoint={parent / 'tiny.pth'}")
    assert result.code == 0, result.err
    shutil.move(cli.model_folder(), parent / "model")
    return parent


@pytest.fixture
def push(cli, hub, converted):
    """Push the converted model to me/tiny; whatever comes of it, its folder stays as it was."""
    shutil.copytree(converted / "model", cli.model_folder())

    def content():
        return {p: p.read_bytes() for p in cli.model_folder().rglob("*") if p.is_file()}

    def push(*arguments: str, token: str | None = WRITER, **environment: str) -> Result:
        before = content()
        result = cli.tiny(
            f"checkpoint={converted / 'tiny.pth'}", "skip_existing=true", "hub=push", "hub.repo_id=me/tiny",
            *arguments, **{**hub.environment(token), **environment},
        )  # fmt: skip
        assert content() == before
        assert token is None or token not in result.out + result.err
        return result

    return push


def history(hub):
    return [commit.summary for repo in hub.repos.values() for commit in repo.history()]


@pytest.mark.fault(65, "no token; a wrong one; a read-only one")
@pytest.mark.parametrize(
    ("token", "told"), [(None, "needs a Hugging Face token"), ("hf_wrong", "401"), (READER, "403")]
)
def test_without_a_token_that_may_write_the_variable_is_named(push, hub, came_out, token, told):
    result = push(token=token)
    assert result.code == 8
    assert told in result.error_line
    assert "; set HF_TOKEN to a token with write access" in result.error_line
    assert history(hub) == []
    if token is None:
        assert hub.requests == []
        assert "Read and vet" not in result.err
    came_out(result)


@pytest.mark.fault(66, "every commit gets 500, 412 or no answer")
@pytest.mark.parametrize(("what", "told"), [(500, "status 500"), (412, "status 412"), ("drop", "disconnected")])
def test_a_commit_that_fails_leaves_the_model_saved_locally(push, hub, came_out, what, told):
    hub.faults.append(Fault("POST", "/commit/", what))
    result = push()
    assert result.code == 8
    assert "error: saved locally, not pushed to me/tiny (" in result.error_line
    assert told in result.error_line
    assert "rerun the same command with skip_existing=true" in result.error_line
    assert len(hub.asked("POST", "/commit/")) == (1 if what == 412 else 3)
    assert history(hub) == []
    came_out(result)


@pytest.mark.fault(66, "the connection breaks in the middle of each upload")
def test_an_upload_that_never_arrives_ends(push, hub, came_out):
    hub.faults.append(Fault("PUT", "", "drop"))
    result = push()
    assert result.code == 8
    assert "error: saved locally, not pushed to me/tiny (" in result.error_line
    assert len(hub.asked("PUT")) == 6
    assert hub.asked("POST", "/commit/") == []
    came_out(result)


@pytest.mark.fault(66, "the commit gets 500 or no answer, once")
@pytest.mark.parametrize("what", [500, "drop", "lose"])
def test_a_commit_that_fails_once_is_made_once(push, hub, came_out, what):
    hub.faults.append(Fault("POST", "/commit/", what, times=1))
    result = push()
    assert result.code == 0, result.err
    assert history(hub) == ["Convert ast-finetuned-audioset-16-16-0.442 with ast2hf"]
    came_out(result)


@pytest.mark.fault(66, "someone else commits while the weights are being uploaded")
def test_a_commit_by_someone_else_is_not_overwritten(push, hub, came_out):
    repo = hub.repo("me/tiny")
    hub.faults.append(Fault("PUT", "", lambda: repo.commit("main", "theirs", {"a": b"b"}), times=1))
    result = push()
    assert result.code == 8
    assert "status 412: A commit has happened since" in result.error_line
    assert "someone else has made in the meantime" in result.error_line
    assert history(hub) == ["theirs"]
    came_out(result)


@pytest.mark.fault(67, "secrets, settings, logs and other weights beside the model and in its folder")
def test_only_the_files_of_the_model_are_sent(push, hub, cli, came_out):
    canary = "canary-9a1f"
    for folder in (cli.model_folder(), cli.model_folder().parent, cli.folder):
        for name in (".env", ".hydra/config.yaml", ".git/config", "ast2hf.log", "pytorch_model.bin", "a.safetensors"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(canary)
    result = push()
    assert result.code == 0, result.err
    (commit,) = hub.repos["model", "me/tiny"].history()
    assert sorted(commit.files) == [".gitattributes", *FILES]
    (request,) = hub.asked("POST", "/commit/")
    sent = [json.loads(line)["value"] for line in request.body.splitlines()][1:]
    assert sorted(value["path"] for value in sent) == FILES
    told = [base64.b64decode(value.get("content", "")) for value in sent] + [r.body for r in hub.requests]
    told += [path.read_bytes() for path in hub.folder.iterdir()]
    found = [body for body in told if canary.encode() in body or base64.b64encode(canary.encode())[:12] in body]
    assert not found
    came_out(result, files_sent=len(sent), requests=len(hub.requests), requests_with_what_was_planted=len(found))


@pytest.mark.fault(68, "the proof fails")
def test_after_a_failed_proof_nothing_is_asked_of_the_hub(push, hub, cli, came_out):
    shutil.rmtree(cli.model_folder())
    result = push("model.layer_norm_eps=1e-12")
    assert result.code == 5
    assert hub.requests == []
    assert not cli.model_folder().exists()
    came_out(result)


@pytest.mark.fault(68, "the existing folder was changed after its proof")
def test_a_changed_folder_is_not_pushed(push, hub, cli, came_out):
    (cli.model_folder() / "config.json").write_text("{}")
    result = push()
    assert result.code == 6
    assert hub.requests == []
    came_out(result)


@pytest.mark.fault(69, "a new repository; one that exists and is public")
@pytest.mark.parametrize("exists", [False, True])
def test_a_commit_has_a_parent_and_a_new_repository_is_private(push, hub, came_out, exists):
    before = hub.repo("me/tiny", private=False).commit("main", "by hand", {"notes": b"mine"}) if exists else None
    result = push()
    assert result.code == 0, result.err
    repo = hub.repos["model", "me/tiny"]
    assert repo.private is not exists
    (request,) = hub.asked("POST", "/commit/")
    parent = json.loads(request.body.splitlines()[0])["value"]["parentCommit"]
    newest = repo.history()[0]
    assert parent == newest.parent
    if before:
        assert parent == before.oid
        assert newest.files["notes"] == b"mine"
    came_out(result, private=repo.private, commits=len(repo.history()))
