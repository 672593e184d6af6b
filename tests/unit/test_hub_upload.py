"""Pushing a folder to a Hub on loopback, and everything that may go wrong with it."""

from __future__ import annotations

import json
import time

import pytest
from support.hub_server import READER, WRITER, Fault, HubServer

from ast2hf import hub_upload
from ast2hf.config import Hub
from ast2hf.errors import HubError

CONTENT = {
    "config.json": b'{"model_type": "audio-spectrogram-transformer"}\n',
    "model.safetensors": b"weights" * 100,
    "preprocessor_config.json": b"{}\n",
    "README.md": b"---\nlibrary_name: transformers\n---\n# A model\n",
    "conversion_report.json": b'{"status": "passed"}\n',
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The Hub of this process. Nobody waits between two attempts."""
    with HubServer(tmp_path / "hub") as server, server.of_this_process(HF_HOME=str(tmp_path / "home")):
        monkeypatch.setattr(time, "sleep", lambda _: None)
        yield server


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    for name, content in CONTENT.items():
        (path / name).write_bytes(content)
    return path


def settings(**changes):
    return Hub(**{"push": True, "repo_id": "me/name", **changes})


def stored(server, commit):
    """The files of a commit with their content."""
    found = {}
    for path, content in commit.files.items():
        found[path] = content if isinstance(content, bytes) else (server.folder / content).read_bytes()
    del found[".gitattributes"]
    return found


def test_five_files_in_one_commit_of_a_new_private_repository(server, folder):
    address = hub_upload.push(folder, settings())
    repo = server.repos["model", "me/name"]
    (commit,) = repo.history()
    assert repo.private is True
    assert stored(server, commit) == CONTENT
    assert commit.summary == "Convert with ast2hf"
    assert address == f"{server.url}/me/name (commit {commit.oid})"


def test_a_model_without_an_extractor_and_with_a_head_beside_it_is_sent_as_it_is(server, folder):
    (folder / "preprocessor_config.json").unlink()
    (folder / "head.safetensors").write_bytes(b"head" * 10)
    (folder / "notes.txt").write_bytes(b"mine")
    files = dict.fromkeys(("config.json", "model.safetensors", "head.safetensors"), "")
    (folder / "conversion_report.json").write_text(json.dumps({"files": files}))
    hub_upload.push(folder, settings())
    (commit,) = server.repos["model", "me/name"].history()
    assert set(stored(server, commit)) == {*files, "README.md", "conversion_report.json"}


def test_weights_go_to_large_file_storage_and_the_rest_into_the_commit(server, folder):
    hub_upload.push(folder, settings())
    (request,) = server.asked("POST", "/commit/")
    header, *lines = [json.loads(line) for line in request.body.splitlines()]
    assert header["value"]["parentCommit"] == server.repos["model", "me/name"].history()[0].parent
    assert [r.token for r in server.asked("PUT")] == [None]  # storage is another host
    assert {line["value"]["path"]: line["key"] for line in lines} == {
        "config.json": "file",
        "model.safetensors": "lfsFile",
        "preprocessor_config.json": "file",
        "README.md": "file",
        "conversion_report.json": "file",
    }


def test_unchanged_files_are_not_sent_and_make_no_commit(server, folder):
    first = hub_upload.push(folder, settings())
    server.requests.clear()
    assert hub_upload.push(folder, settings()) == first
    assert server.asked("PUT") == server.asked("POST", "/commit/") == []
    (folder / "README.md").write_bytes(CONTENT["README.md"] + b"More.\n")
    assert hub_upload.push(folder, settings()) != first
    assert server.asked("PUT") == []
    (request,) = server.asked("POST", "/commit/")
    assert b"README.md" in request.body
    assert b"config.json" not in request.body


def test_another_card_can_be_sent_and_the_folder_stays_as_it_is(server, folder):
    card = CONTENT["README.md"] + b"AutoModel.from_pretrained('me/name')\n"
    hub_upload.push(folder, settings(), card)
    (commit,) = server.repos["model", "me/name"].history()
    assert stored(server, commit) == {**CONTENT, "README.md": card}
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == CONTENT


@pytest.fixture
def progress_bars():
    """Those of huggingface_hub are enabled, as in a new process; other tests may have disabled them."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_disabled = are_progress_bars_disabled()
    enable_progress_bars()
    yield
    if were_disabled:
        disable_progress_bars()


@pytest.mark.usefixtures("progress_bars")
@pytest.mark.parametrize("fails", [False, True])
def test_the_global_state_of_huggingface_hub_is_restored(server, folder, monkeypatch, fails):
    from huggingface_hub.utils import are_progress_bars_disabled, get_session

    def state():
        return are_progress_bars_disabled(), get_session().timeout.read

    monkeypatch.setattr(hub_upload, "TIMEOUT", 7.0)
    before = state()
    assert before[0] is False
    during = []
    server.faults.append(Fault("GET", "/revision/main", lambda: during.append(state()), times=1))
    if fails:
        server.faults.append(Fault("POST", "/commit/", 400))
        with pytest.raises(HubError):
            hub_upload.push(folder, settings())
    else:
        hub_upload.push(folder, settings())
    assert during == [(True, 7.0)]
    assert state() == before


def test_an_existing_repository_keeps_its_files_its_history_and_its_visibility(server, folder):
    repo = server.repo("me/name", private=False)
    before = repo.commit("main", "by hand", {"notes.txt": b"mine", "config.json": b"old"})
    hub_upload.push(folder, settings())
    newest, older = repo.history()
    assert (newest.parent, older) == (before.oid, before)
    assert stored(server, newest) == {**CONTENT, "notes.txt": b"mine"}
    assert repo.private is False


def test_a_public_repository_is_made_only_if_asked_for(server, folder):
    hub_upload.push(folder, settings(private=False, commit_message="by me"))
    repo = server.repos["model", "me/name"]
    assert repo.private is False
    assert repo.history()[0].summary == "by me"


def test_a_branch_that_does_not_exist_is_made_and_main_left_alone(server, folder):
    address = hub_upload.push(folder, settings(revision="trial/one"))
    repo = server.repos["model", "me/name"]
    assert repo.history() == []
    (commit,) = repo.history("trial/one")
    assert stored(server, commit) == CONTENT
    assert address == f"{server.url}/me/name/tree/trial/one (commit {commit.oid})"


STEPS = [
    ("POST", "/api/repos/create"),
    ("GET", "/revision/main"),
    ("POST", "/api/validate-yaml"),
    ("POST", "/preupload/"),
    ("POST", "/objects/batch"),
    ("PUT", "/lfs/"),
    ("POST", "/lfs/"),
    ("POST", "/commit/"),
]


@pytest.mark.parametrize("what", [500, 503, 429, "drop", "lose"])
@pytest.mark.parametrize(("method", "path"), STEPS)
def test_transient_errors_are_retried_and_make_one_commit(server, folder, method, path, what):
    server.faults.append(Fault(method, path, what, times=1))
    hub_upload.push(folder, settings())
    (commit,) = server.repos["model", "me/name"].history()
    assert stored(server, commit) == CONTENT
    assert server.faults[0].times == 0


@pytest.mark.parametrize("what", [500, "drop"])
@pytest.mark.parametrize(("method", "path"), STEPS)
def test_persistent_errors_end_after_a_bounded_number_of_requests(server, folder, method, path, what):
    server.faults.append(Fault(method, path, what))
    with pytest.raises(HubError) as caught:
        hub_upload.push(folder, settings())
    assert str(caught.value).startswith("saved locally, not pushed to me/name (")
    assert "skip_existing=true" in caught.value.remedy
    assert str(folder) in caught.value.remedy
    if what == 500:
        assert "(status 500: as told)" in caught.value.cause
    assert hub_upload.ATTEMPTS <= len(server.asked(method, path)) <= hub_upload.ATTEMPTS * 6
    assert not any(repo.history() for repo in server.repos.values())
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == CONTENT


def test_a_server_that_stalls_is_given_up(server, folder, monkeypatch):
    monkeypatch.setattr(hub_upload, "TIMEOUT", 0.1)
    server.faults.append(Fault("POST", "/commit/", "stall"))
    with pytest.raises(HubError, match="Timeout"):
        hub_upload.push(folder, settings())
    assert len(server.asked("POST", "/commit/")) == hub_upload.ATTEMPTS


@pytest.mark.parametrize("what", [500, "lose", None])
def test_a_commit_by_someone_else_is_never_overwritten(server, folder, what):
    """Between reading the branch and committing to it; also where an attempt of ours fails at that moment."""
    repo = server.repo("me/name")
    server.faults.append(Fault("PUT", "/lfs/", lambda: repo.commit("main", "theirs", {"config.json": b"theirs"}), 1))
    if what:
        server.faults.append(Fault("POST", "/commit/", what, times=1))
    with pytest.raises(HubError, match=r"status 412.*someone else has made in the meantime"):
        hub_upload.push(folder, settings())
    (commit,) = repo.history()
    assert commit.summary == "theirs"


@pytest.mark.parametrize(("token", "status"), [("hf_wrong", 401), (READER, 403)])
def test_a_refused_token_is_never_shown_and_the_variable_named(server, folder, monkeypatch, token, status):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=f"status {status}") as caught:
        hub_upload.push(folder, settings())
    assert "set HF_TOKEN" in caught.value.remedy
    assert token not in str(caught.value)
    assert len(server.asked("POST")) == 1


def test_a_namespace_of_someone_else_is_refused(server, folder):
    with pytest.raises(HubError, match="status 403: You don't have the rights to write"):
        hub_upload.push(folder, settings(repo_id="somebody/name"))


def test_a_file_that_is_missing_ends_it_before_anything_is_committed(server, folder):
    (folder / "README.md").unlink()
    with pytest.raises(HubError, match=r"README\.md"):
        hub_upload.push(folder, settings())
    assert server.asked("POST", "/commit/") == []


def test_a_card_that_the_hub_refuses_ends_it(server, folder):
    (folder / "README.md").write_bytes(b"no metadata")
    with pytest.raises(HubError, match="Invalid metadata"):
        hub_upload.push(folder, settings())
    assert len(server.asked("POST", "/api/validate-yaml")) == 1


def test_the_check_makes_no_requests(server, monkeypatch, tmp_path):
    from huggingface_hub import constants

    hub_upload.check()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="unset HF_HUB_OFFLINE"):
        hub_upload.check()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(HubError, match="set HF_TOKEN"):
        hub_upload.check()
    (tmp_path / "token").write_text(WRITER)
    hub_upload.check()
    assert server.requests == []


def test_an_error_of_the_xet_storage_is_reported_like_any_other(server, folder, monkeypatch):
    """Where hf_xet is installed and not switched off, it sends the weights; this Hub has no such storage."""
    from huggingface_hub import constants

    pytest.importorskip("hf_xet")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match=r"^saved locally, not pushed to me/name .*404"):
        hub_upload.push(folder, settings())
    assert len(server.asked("GET", "/xet-write-token/")) == hub_upload.ATTEMPTS
    assert server.asked("PUT") == server.asked("POST", "/commit/") == []
