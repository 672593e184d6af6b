import os

import pytest
import trustme
from loopback import CONTENT, LIMITS, fetch, kept
from support.servers import Reply, Server

from ast2hf.checkpoint import cache, download, partial
from ast2hf.config import Download
from ast2hf.errors import DownloadError, InputError

HALF = len(CONTENT) // 2


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were to be waited between attempts; none is."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


def failure(url, folder, limits=LIMITS):
    with pytest.raises(DownloadError) as caught:
        fetch(url, folder, limits=limits)
    assert kept(folder) == []
    return str(caught.value)


def ranges(server):
    """What was asked for, request by request: a piece on a condition, or the whole."""
    return [(headers["Range"], headers["If-Range"]) for headers in server.headers]


def test_progress_is_reported(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=CONTENT)]
    seen = []
    cache.fetch(f"{server.url}/model.pth", tmp_path, None, LIMITS, lambda *progress: seen.append(progress))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_redirect_is_followed(server, tmp_path):
    server.replies["/old"] = [Reply(302, headers={"Location": "/new.pth"})]
    server.replies["/new.pth"] = [Reply(body=CONTENT)]
    assert fetch(f"{server.url}/old", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_busy_server_is_asked_again(server, tmp_path, waits, status):
    server.replies["/model.pth"] = [Reply(status), Reply(body=CONTENT)]
    assert fetch(f"{server.url}/model.pth", tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert waits == [0.5]


def test_retry_after_is_heeded(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(429, headers={"Retry-After": "7"}), Reply(body=CONTENT)]
    fetch(f"{server.url}/model.pth", tmp_path)
    assert waits == [7]


def test_a_server_that_asks_for_too_long_a_wait_is_not_asked_again(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(429, headers={"Retry-After": "3600"})]
    message = failure(f"{server.url}/model.pth", tmp_path, Download(5.0, 10_000.0))
    assert "in 1 attempt (status 429, retry after 3,600 s)" in message
    assert waits == []


def test_a_wait_beyond_the_deadline_is_not_waited(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(429, headers={"Retry-After": "50"})]
    message = failure(f"{server.url}/model.pth", tmp_path, Download(5.0, 20.0))
    assert "/model.pth was not downloaded in 20 s (status 429)" in message
    assert "download.deadline_s" in message
    assert waits == []


@pytest.mark.parametrize("status", [206, 304, 403, 404, 410, 416])
def test_a_refusal_is_not_retried(server, tmp_path, waits, status):
    server.replies["/model.pth"] = [Reply(status)]
    assert f"/model.pth answered with status {status}" in failure(f"{server.url}/model.pth", tmp_path)
    assert len(server.requests) == 1


def test_a_persistently_busy_server_is_an_error(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(503)]
    assert "127.0.0.1 did not deliver the checkpoint in 4 attempts (status 503)" in failure(
        f"{server.url}/model.pth", tmp_path
    )
    assert waits == [0.5, 1, 2]


def test_a_body_shorter_than_promised_is_retried_and_not_kept(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(body=CONTENT[:500], promise=len(CONTENT))]
    assert "in 4 attempts" in failure(f"{server.url}/model.pth", tmp_path)
    assert len(server.requests) == 4


@pytest.mark.parametrize("body", [CONTENT[:-1], CONTENT[:500], b"<html>expired"])
def test_a_body_of_unknown_length_is_vetted_and_not_kept(server, tmp_path, body):
    server.replies["/model.pth"] = [Reply(body=body, unsized=True)]
    with pytest.raises(InputError, match=r"/model.pth: .*(incomplete or damaged|HTML page)"):
        fetch(f"{server.url}/model.pth", tmp_path)
    assert kept(tmp_path) == []


def test_an_attempt_resumes_where_the_last_one_stopped(server, tmp_path, waits):
    whole = Reply(body=CONTENT, etag='"v1"')
    server.replies["/model.pth"] = [Reply(body=CONTENT, etag='"v1"', promise=len(CONTENT), cut=HALF), whole]
    assert fetch(f"{server.url}/model.pth", tmp_path).read_bytes() == CONTENT
    assert ranges(server) == [(None, None), (f"bytes={HALF}-", '"v1"')]


def test_attempts_that_bring_more_are_not_counted(server, tmp_path, waits):
    step = len(CONTENT) // 9
    reply = Reply(body=CONTENT, etag='"v1"', cut=step)
    server.replies["/model.pth"] = [Reply(body=CONTENT, etag='"v1"', promise=len(CONTENT), cut=step), reply]
    assert fetch(f"{server.url}/model.pth", tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 10


def test_a_file_that_changed_since_is_downloaded_from_the_start(server, tmp_path, waits):
    old = Reply(body=b"x" * len(CONTENT), etag='"v1"', promise=len(CONTENT), cut=HALF)
    server.replies["/model.pth"] = [old, Reply(body=CONTENT, etag='"v2"')]
    assert fetch(f"{server.url}/model.pth", tmp_path).read_bytes() == CONTENT


def rest(start=HALF, **headers):
    span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return Reply(206, CONTENT[start:], {"Content-Range": span, **headers})


@pytest.mark.parametrize(
    "wrong", [rest(HALF - 1), rest(ETag='"v2"'), Reply(206, CONTENT[HALF:]), Reply(416)], ids=lambda r: str(r.headers)
)
def test_a_wrong_piece_is_not_taken(server, tmp_path, waits, wrong):
    cut = Reply(body=CONTENT, etag='"v1"', promise=len(CONTENT), cut=HALF)
    server.replies["/model.pth"] = [cut, wrong, Reply(body=CONTENT)]
    assert fetch(f"{server.url}/model.pth", tmp_path).read_bytes() == CONTENT
    assert ranges(server) == [(None, None), (f"bytes={HALF}-", '"v1"'), (None, None)]


OLD, NEW = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": '"v1"'}, '"v1"'),
        ({"etag": 'W/"v1"', "last-modified": OLD, "date": NEW}, ""),
        ({"last-modified": OLD, "date": NEW}, OLD),
        ({"last-modified": OLD, "date": OLD}, ""),
        ({"last-modified": "yesterday", "date": NEW}, ""),
        ({"etag": '"v1"', "accept-ranges": "none"}, ""),
        ({"etag": '"v1"', "content-encoding": "gzip"}, ""),
        ({}, ""),
    ],
)
def test_which_headers_allow_resuming(tmp_path, headers, validator):
    begun = partial.Partial(tmp_path / "x.part")
    begun.start({"accept-ranges": "bytes", **headers})
    with begun.appending() as append:
        append(b"abc")
    assert begun.request_headers().get("If-Range", "") == validator
    assert begun.is_resumable == bool(validator)
    again = partial.Partial(tmp_path / "x.part")
    assert again.size == (3 if validator else 0)
    assert again.request_headers() == begun.request_headers()


def test_a_validator_does_not_outlive_its_bytes(tmp_path):
    begun = partial.Partial(tmp_path / "x.part")
    begun.start({"accept-ranges": "bytes", "etag": '"v1"'})
    begun.start({})
    with begun.appending() as append:
        append(b"abc")
    assert partial.Partial(tmp_path / "x.part").size == 0


def begun(folder):
    left = partial.Partial(folder / "x.part")
    left.start({"accept-ranges": "bytes", "etag": '"v1"'})
    with left.appending() as append:
        append(b"abc")
    return left


def test_a_partial_file_of_another_user_is_not_resumed(tmp_path, monkeypatch):
    begun(tmp_path)
    assert partial.Partial(tmp_path / "x.part").size == 3
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    assert partial.Partial(tmp_path / "x.part").size == 0


@pytest.mark.parametrize("name", ["x.part", "x.part.validator"])
@pytest.mark.parametrize("make", [os.symlink, os.link, lambda _, path: os.mkfifo(path)])
def test_a_link_hard_link_or_pipe_is_not_resumed(tmp_path, name, make):
    begun(tmp_path)
    (tmp_path / name).rename(tmp_path / "victim")
    before = (tmp_path / "victim").read_bytes()
    make(tmp_path / "victim", tmp_path / name)
    assert partial.Partial(tmp_path / "x.part").size == 0
    begun(tmp_path)
    assert (tmp_path / "victim").read_bytes() == before


def test_a_partial_file_replaced_by_a_link_is_not_written_to(tmp_path):
    left = begun(tmp_path)
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "x.part").unlink()
    os.link(tmp_path / "victim", tmp_path / "x.part")
    with pytest.raises(OSError, match="hard link"), left.appending():
        pass
    assert (tmp_path / "victim").read_bytes() == b"kept"


@pytest.mark.parametrize("validator", ['"v1"', "", None, "\x00\n", "\xe9"])
def test_the_partial_file_of_a_killed_run_is_resumed_or_overwritten(server, tmp_path, validator):
    server.replies["/model.pth"] = [Reply(body=CONTENT, etag='"v1"')]
    url = f"{server.url}/model.pth"
    path = cache.cached_path(url, tmp_path)
    path.parent.mkdir(parents=True)
    usable = validator == '"v1"'
    path.with_name("model.pth.part").write_bytes(CONTENT[:HALF] if usable else b"x" * 2 * len(CONTENT))
    if validator is not None:
        path.with_name("model.pth.part.validator").write_text(validator, encoding="latin-1")
    assert fetch(url, tmp_path).read_bytes() == CONTENT
    assert kept(tmp_path) == ["model.pth", "model.pth.sha256"]
    assert ranges(server) == [(f"bytes={HALF}-", '"v1"') if usable else (None, None)]


def test_an_interrupted_download_is_left_to_the_next_run(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=CONTENT, etag='"v1"')]
    url = f"{server.url}/model.pth"

    def interrupt(done, total):
        if done == len(CONTENT):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fetch(url, tmp_path, None, LIMITS, interrupt)
    assert kept(tmp_path) == ["model.pth.part", "model.pth.part.validator"]


def test_a_web_page_is_not_a_checkpoint(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})]
    assert "is an HTML page, not a checkpoint" in failure(f"{server.url}/model.pth", tmp_path)


def test_the_size_is_capped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_FILE", 100_000)
    server.replies["/sized"] = [Reply(body=b"x" * 100_001)]
    server.replies["/endless"] = [Reply(body=b"x" * 10_000, unsized=True, endless=True)]
    assert "sent more than 100,000 bytes" in failure(f"{server.url}/sized", tmp_path)
    assert "sent more than 100,000 bytes" in failure(f"{server.url}/endless", tmp_path)


def test_silence_ends_an_attempt(server, tmp_path, waits):
    server.replies["/model.pth"] = [Reply(body=CONTENT, cut=HALF, promise=len(CONTENT), stalls=True)]
    message = failure(f"{server.url}/model.pth", tmp_path, Download(0.05, 3600.0))
    assert "in 4 attempts (ReadTimeout: timed out)" in message


def test_the_deadline_ends_a_longer_silence(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=CONTENT, cut=HALF, promise=len(CONTENT), stalls=True)]
    message = failure(f"{server.url}/model.pth", tmp_path, Download(3600.0, 1.0))
    assert "/model.pth was not downloaded in 1 s (ReadTimeout: timed out)" in message


def test_the_deadline_holds_for_a_server_that_never_pauses_for_long(server, tmp_path):
    server.replies["/model.pth"] = [Reply(body=CONTENT, pause=0.1)]
    message = failure(f"{server.url}/model.pth", tmp_path, Download(5.0, 1.0))
    assert f"of {len(CONTENT):,} bytes)" in message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/model.pth", "redirects endlessly"),
        ("file:///etc/passwd", "(or a redirect from it) is not an http(s) URL"),
        ("ftp://127.0.0.1/x", "(or a redirect from it) is not an http(s) URL"),
    ],
)
def test_bad_redirects_are_refused(server, tmp_path, location, words):
    server.replies["/model.pth"] = [Reply(302, headers={"Location": location})]
    assert words in failure(f"{server.url}/model.pth", tmp_path)
    assert len(server.requests) <= download.MAX_REDIRECTS + 1


def test_the_body_of_a_redirect_is_not_read(server, tmp_path):
    endless = Reply(302, b"x" * 10_000, {"Location": "/model.pth"}, unsized=True, endless=True)
    server.replies.update({"/old": [endless], "/model.pth": [Reply(body=CONTENT)]})
    assert fetch(f"{server.url}/old", tmp_path).read_bytes() == CONTENT


@pytest.fixture
def secure_server(tmp_path, monkeypatch):
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with Server(tls=context) as secure_server:
        yield secure_server


def test_https_may_lead_to_https_but_not_to_http(server, secure_server, tmp_path):
    server.replies["/model.pth"] = secure_server.replies["/model.pth"] = [Reply(body=CONTENT)]
    secure_server.replies["/here"] = [Reply(302, headers={"Location": "/model.pth"})]
    secure_server.replies["/away"] = [Reply(302, headers={"Location": f"{server.url}/model.pth"})]
    assert "redirects from https to http" in failure(f"{secure_server.url}/away", tmp_path / "cache")
    assert server.requests == []
    assert fetch(f"{secure_server.url}/here", tmp_path / "cache").read_bytes() == CONTENT


def test_a_certificate_that_is_not_trusted_is_refused(secure_server, tmp_path, monkeypatch, waits):
    monkeypatch.delenv("SSL_CERT_FILE")
    secure_server.replies["/model.pth"] = [Reply(body=CONTENT)]
    assert "CERTIFICATE_VERIFY_FAILED" in failure(f"{secure_server.url}/model.pth", tmp_path / "cache")


@pytest.mark.parametrize("url", ["http://", "http:///x", "http:x"])
def test_addresses_that_are_none(tmp_path, url):
    assert "(or a redirect from it) is not an http(s) URL" in failure(url, tmp_path)


def test_a_refused_connection_names_the_host(tmp_path, waits, free_port):
    message = failure(f"http://127.0.0.1:{free_port}/model.pth", tmp_path)
    assert message.startswith("127.0.0.1 did not deliver")
    assert "checkpoint=PATH" in message


def test_secrets_in_the_address_are_neither_shown_nor_logged(server, tmp_path, caplog, waits):
    url = server.url.replace("http://", "http://user:canary@") + "/model.pth?token=canary#canary"
    for reply in (Reply(404), Reply(503), Reply(302, headers={"Location": "ftp://h/canary"})):
        server.replies["/model.pth"] = [reply]
        assert "canary" not in failure(url, tmp_path)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("ast2hf")]
    assert ours
    assert "canary" not in "".join(ours)


def test_credentials_do_not_go_with_a_redirect_to_another_host(server, tmp_path):
    server.replies["/old"] = [Reply(302, headers={"Location": f"{server.url.replace('127.0.0.1', 'localhost')}/new"})]
    server.replies["/new"] = [Reply(body=CONTENT)]
    fetch(server.url.replace("http://", "http://user:secret@") + "/old", tmp_path)
    assert [bool(headers["Authorization"]) for headers in server.headers] == [True, False]
