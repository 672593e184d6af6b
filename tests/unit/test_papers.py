"""The papers of the project agree with what they describe."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import yaml

import ast2hf
from ast2hf.audio import PACKAGED_CLIP

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_licence_version_and_authors_are_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ast2hf.__version__
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert citation["authors"] == PROJECT["authors"]
    for name in PROJECT["license-files"]:
        assert "Apache License\n                           Version 2.0" in (ROOT / name).read_text()


def test_the_changelog_has_the_version():
    assert f"\n## {ast2hf.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_version_is_in_one_place():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]


def test_the_note_beside_the_packaged_clip_is_about_this_clip():
    digest = hashlib.sha256(PACKAGED_CLIP.read_bytes()).hexdigest()
    assert digest in PACKAGED_CLIP.with_name("README.md").read_text()


def test_the_places_that_contributors_are_sent_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    text += (ROOT / "docs" / "extending.md").read_text()
    paths = set(re.findall(r"`((?:src|conf|tests|docs)/[\w/.]+)`", text))
    assert {"conf/model/", "conf/verify/default.yaml", "src/ast2hf/proof/checks.py", "src/ast2hf/families/"} <= paths
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    targets = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "lint"):
        assert f"make {target}" in text
        assert f"\n{target}:" in targets
