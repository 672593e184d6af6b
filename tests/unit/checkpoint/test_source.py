import hashlib
import io

import pytest
import torch
from conftest import TINY
from support.servers import Reply, Server

from ast2hf.checkpoint import synthetic
from ast2hf.checkpoint.source import locate
from ast2hf.config import Download, Variant
from ast2hf.errors import ConfigurationError, InputError, OutputError
from ast2hf.families.ast import AST
from ast2hf.progress import Progress


def model(**changes) -> Variant:
    sizes = {key: value for key, value in TINY.as_dict().items() if key in Variant.__dataclass_fields__}
    return Variant(**{"name": "tiny", "url": None, **sizes, **changes})


def located(checkpoint, variant, cache, scratch):
    return locate(checkpoint, variant, AST, cache, Download(5.0, 60.0), scratch, Progress())


@pytest.fixture
def find(tmp_path):
    def find(checkpoint, model):
        with located(checkpoint, model, tmp_path / "cache", tmp_path) as source:
            return source

    return find


def test_a_path(find, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in ("a b.pth", "~/a b.pth", str(tmp_path / "a b.pth")):
        found = find(written, model())
        assert (found.path, found.uri, found.official) == (tmp_path / "a b.pth", "a b.pth", False)


def test_a_path_with_the_hash_that_it_must_have(find):
    found = find("x.pth", model(sha256="AB" * 32))
    found.check("ab" * 32)
    with pytest.raises(InputError, match=f"x.pth has SHA-256 {'cd' * 32}, not {'ab' * 32}; .* leave out model.sha256"):
        found.check("cd" * 32)
    find("x.pth", model()).check("cd" * 32)
    find("synthetic", model(sha256="ab" * 32)).check("cd" * 32)


@pytest.mark.parametrize(("written", "seed"), [("synthetic", 0), ("synthetic:7", 7)])
def test_a_synthetic_one(find, written, seed):
    found = find(written, model())
    assert (found.uri, found.official) == (f"synthetic:{seed}", False)
    loaded = torch.load(found.path, weights_only=True)
    expected = synthetic.state_dict(AST, TINY, seed)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "written", ["synthetic:", "synthetic:x", "synthetic:-1", "synthetic:1.5", "synthetic:" + "9" * 5000]
)
def test_a_synthetic_one_without_a_valid_seed(find, written):
    with pytest.raises(ConfigurationError, match="has no valid seed"):
        find(written, model())


def test_a_synthetic_one_of_unknown_size(find):
    with pytest.raises(ConfigurationError, match="takes its sizes from the checkpoint"):
        find("synthetic", model(hidden_size=None))


def test_a_synthetic_one_that_cannot_be_written(tmp_path):
    with (
        pytest.raises(OutputError, match="the synthetic checkpoint cannot be written"),
        located("synthetic", model(), tmp_path, tmp_path / "missing"),
    ):
        pass


def test_a_model_without_an_address_needs_a_checkpoint(find):
    with pytest.raises(ConfigurationError, match="model tiny has no official checkpoint"):
        find(None, model())


@pytest.mark.parametrize("written", ["ftp://host/x.pth", "file:///x.pth", "s3://bucket/x.pth"])
def test_other_schemes(find, written):
    with pytest.raises(ConfigurationError, match="neither a path nor an http"):
        find(written, model())


@pytest.mark.parametrize(
    "written", ["http://[half/x.pth", "http://127.0.0.1:port/x.pth", "https://user:pa/ss@host/x.pth"]
)
def test_an_invalid_url(find, written):
    with pytest.raises(ConfigurationError, match="is not a valid URL"):
        find(written, model())


def test_an_unknown_user(find):
    with pytest.raises(InputError, match="unknown user in"):
        find("~nobody-of-this-name/x.pth", model())


def test_the_published_address_and_another(find):
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(1)}, buffer)
    with Server() as server:
        server.replies["/x.pth"] = [Reply(body=buffer.getvalue())]
        url = f"{server.url}/x.pth?dl=1"
        published = find(None, model(url=url))
        other = find(url, model(url="http://127.0.0.1/other.pth"))
        signed = find(url.replace("dl=1", "signature=abc"), model(url="http://127.0.0.1/other.pth"))
    assert (published.uri, published.official) == (url, True)
    assert (other.uri, other.official) == (url, False)
    assert signed.uri == f"{server.url}/x.pth?…"
    assert published.sha256 == other.sha256 == hashlib.sha256(buffer.getvalue()).hexdigest()
    assert published.path == other.path
    assert other.path.read_bytes() == buffer.getvalue()
