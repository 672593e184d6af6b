import os
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ast2hf.config import Config, Variant
from ast2hf.privacy import local_paths, setting, without_paths

NAMES = st.text(string.ascii_letters + string.digits + "-_äß", min_size=3, max_size=12)
PARTS = st.lists(NAMES, min_size=2, max_size=5, unique=True)
BEFORE = st.sampled_from(["", "checkpoint ", "checkpoint=", "(", "'", '"', "error: ", "[Errno 2] x: '"])
AFTER = st.sampled_from(["", " is not a regular file", ".", ", or", ")", "; try again", "'", ": x"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/alice/secret-project/best.pth is damaged", "best.pth is damaged"),
        ("/home/alice/secret-project/ is damaged", "secret-project is damaged"),
        ("cannot read ~/secret/best.pth.", "cannot read best.pth."),
        ("cannot read ~bob/secret/best.pth, or", "cannot read best.pth, or"),
        ("[Errno 2] No such file: '/my clips/a b.wav'", "[Errno 2] No such file: 'a b.wav'"),
        ("checkpoint=/data/x/a.pth", "checkpoint=a.pth"),
        (r"C:\Users\alice\best.pth is damaged", "best.pth is damaged"),
        (r"'C:\Users\alice b\best.pth'", "'best.pth'"),
        ("C:/Users/alice/best.pth", "best.pth"),
        (r"\\server\share\best.pth", "best.pth"),
        ("sqlite:////home/alice/mlflow.db", "sqlite:///mlflow.db"),
        ("file:///home/alice/mlruns", "file:///mlruns"),
        ("PATH=/usr/bin:/opt/secret/bin", "PATH=bin"),
        ("a/tmp and /tmp", "a/tmp and tmp"),
    ],
)
def test_a_path_becomes_its_name(text, expected):
    assert without_paths(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/data/a.pth?dl=1#x", "models:/m/1", "s3://bucket/key", "postgresql://host/db", "a/b", "N/A",
        "max 1e-5 / 2e-5", "|difference| / |reference|", "1/2", "(a+b)/c", "me/model", "</td>", "and/or", "\\x1b[31m",
        "/", "", "12:30", "a: b", "~", "best.pth", "version 1.2/3",
    ],
)  # fmt: skip
def test_text_that_is_not_a_path_is_unchanged(text):
    assert without_paths(text) == text


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        (
            "checkpoint /my data/best run.pth is damaged",
            ["/my data/best run.pth"],
            "checkpoint best run.pth is damaged",
        ),
        ("private/best.pth is damaged", ["private/best.pth"], "best.pth is damaged"),
        ("../private/best.pth is damaged", ["../private/best.pth"], "best.pth is damaged"),
        ("/my out/model.safetensors: no space", ["/my out"], "model.safetensors: no space"),
        ("in /my out.", ["/my out/"], "in my out."),
        ("in /my out", ["/my", "/my out"], "in my out"),
        ("out/b and out/bc", ["out/b"], "b and out/bc"),
        ("https://host/data/a.pth", ["/data/a.pth", "data/a.pth"], "https://host/data/a.pth"),
        (r"a [x] b\c.pth", [r"a [x] b\c.pth"], "c.pth"),
        ("none", ["none", ""], "none"),
        ("sqlite:////my out/mlflow.db is locked", ["/my out"], "sqlite:///mlflow.db is locked"),
        ("sqlite+pysqlite:////my out/a.db, file:///my out/b", ["/my out"], "sqlite+pysqlite:///a.db, file:///b"),
    ],
)
def test_known_paths_may_be_relative_or_have_spaces(text, known, expected):
    assert without_paths(text, known) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("checkpoint", "my data/best run.pth", "best run.pth"),
        ("checkpoint", "https://host/data/a.pth", "https://host/data/a.pth"),
        ("checkpoint", "synthetic:1", "synthetic:1"),
        ("paths.outputs", "/my data/out", "out"),
        ("tracking.uri", "sqlite:////my data/out/mlflow.db", "sqlite:///mlflow.db"),
        ("hub.repo_id", "me/model", "me/model"),
        ("hub.commit_message", "of /data/best.pth", "of best.pth"),
    ],
)
def test_a_setting_that_names_a_file_has_its_name_alone(key, value, expected):
    assert setting(key, value) == expected


@pytest.mark.parametrize(
    "given_path", ["~/SEC RET/sub dir/a.pth", "../SEC RET/sub dir/a.pth", "SEC RET/../sub dir/a.pth"]
)
def test_a_path_that_was_given_is_known_in_every_form_that_errors_show(given_path):
    known = local_paths(Config(model=Variant(name="custom"), checkpoint=given_path))
    full = Path(given_path).expanduser()
    for form in (given_path, full, full.absolute(), os.path.abspath(full)):  # noqa: PTH100
        assert without_paths(f"checkpoint {form} cannot be read", known) == "checkpoint a.pth cannot be read"


@given(PARTS, BEFORE, AFTER, st.sampled_from(["/", "~/", "~me/", "C:\\", "C:/"]))
def test_no_folder_of_a_path_is_left(parts, before, after, root):
    separator = "\\" if root.endswith("\\") else "/"
    text = without_paths(before + root + separator.join(parts) + after)
    assert text == before + parts[-1] + after


@given(PARTS, BEFORE, AFTER, st.booleans())
def test_nor_of_a_known_one_with_spaces(parts, before, after, absolute):
    path = "/" * absolute + "/".join(part[:1] + " " + part[1:] for part in parts)
    last = path.rpartition("/")[2]
    assert without_paths(before + path + after, [path]) == before + last + after


@given(st.lists(NAMES, min_size=1), st.sampled_from(["https", "http", "s3", "hf", "postgresql+psycopg2"]))
def test_addresses_stay(parts, scheme):
    text = f"from {scheme}://{'/'.join(parts)} and back"
    assert without_paths(text, ["/".join(parts), "/" + parts[-1]]) == text


@given(st.text())
def test_text_without_separators_stays_and_a_second_time_changes_nothing(text):
    bare = re.sub(r"[/\\]", "", text)
    assert without_paths(bare) == bare
    once = without_paths(text)
    assert without_paths(once) == once


def test_it_is_quick_on_long_text():
    assert without_paths("x" * 200_000) == "x" * 200_000
    assert without_paths("/a" * 100_000) == "a"
