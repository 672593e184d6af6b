import pytest

from ast2hf import secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/a.pth", "https://host/a.pth"),
        ("https://www.dropbox.com/s/x/a.pth?dl=1", "https://www.dropbox.com/s/x/a.pth?dl=1"),
        ("https://host/a.pth?rlkey=k&dl=1 is gone", "https://host/a.pth?… is gone"),
        ("https://host/a.pth?dl=secret", "https://host/a.pth?…"),
        ("'https://u:p@host:8080/a.pth'", "'https://host:8080/a.pth'"),
        ("https://u:p@ss@host/a", "https://host/a"),
        ("https://u:p/w@host/a or https://u:p#w@host", "https://… or https://…"),
        ("https://token@[::1]:80/a#access_token=k", "https://[::1]:80/a"),
        ("postgresql://u:p@host/db", "postgresql://host/db"),
        ("http://host:5000/#/experiments/1/runs/2", "http://host:5000/#/experiments/1/runs/2"),
        ("http://h?k=1 and http://h?k=2", "http://h?… and http://h?…"),
        ("sqlite:////a@b/mlflow.db", "sqlite:////a@b/mlflow.db"),
        ("me@host and a?b", "me@host and a?b"),
    ],
)
def test_addresses_are_shown_without_secrets(text, shown):
    assert secrets.redact(text) == shown


@pytest.mark.parametrize(
    "argument",
    [
        "hub.token=x",
        "+HF_TOKEN=x",
        "++a.password=x",
        "api_key=x",
        "labels=hf_abcdefghijkl",
        "a.b.Secret=",
        "x=hf_Ab3dEf6h",
    ],
)
def test_tokens_are_noticed(argument):
    assert secrets.has_token(argument)


@pytest.mark.parametrize(
    "argument",
    ["checkpoint=token.pth", "model=ast_16_16", "labels=half_token", "--help", "-m", "output_dir=hf_converted",
     "checkpoint=hf_finetuned.pth"],
)  # fmt: skip
def test_arguments_that_are_not_tokens(argument):
    assert not secrets.has_token(argument)
