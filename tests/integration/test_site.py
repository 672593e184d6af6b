"""The documentation site is built without a warning, and its pages load nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlparse

import pytest
from conftest import ROOT

pytest.importorskip("mkdocs", reason="needs pip install 'ast2hf[docs]': make docs")

LOADED = {"src", "srcset", "data", "poster", "action", "xlink:href"}
"""Attributes whose address a browser asks for by itself; ``href`` of anything but a link is another."""


class Addresses(HTMLParser):
    """What a page loads, what it links to, and the places in it that can be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for key, value in attributes:
            if value is None:
                continue
            if key in LOADED or (key == "href" and tag != "a"):
                self.loaded.append(value)
            elif key == "href":
                self.links.append(value)
            elif key in ("id", "name"):
                self.ids.add(value)
            elif key == "class":
                self.classes |= set(value.split())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def pages(site):
    found = {}
    for path in site.rglob("*.html"):
        found[path] = Addresses()
        found[path].feed(path.read_text(encoding="utf-8"))
    return found


def test_pages_load_nothing_from_elsewhere(site, pages):
    assert len(pages) > 12
    for path, page in pages.items():
        assert page.loaded, path
        for address in page.loaded:
            assert not urlparse(address).netloc, f"{path.name} loads {address}"
        assert not {"mermaid", "math"} & page.classes, "the theme would fetch a script for it"
    for path in site.rglob("*.css"):
        addresses = re.findall(r"url\(([^)]*)\)|@import\s+([^;]+)", path.read_text(encoding="utf-8"))
        outside = [a for found in addresses for a in found if "//" in a and not a.strip("'\"").startswith("data:")]
        assert outside == [], path


def test_nothing_of_python_is_on_the_site(site):
    assert [path.name for path in site.rglob("*") if path.suffix in (".py", ".pyc") or path.name == "__pycache__"] == []


def test_links_lead_somewhere(site, pages):
    for path, page in pages.items():
        for link in page.links:
            to = urlparse(link)
            if to.scheme or path.name == "404.html":
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            assert target in pages, f"{path.name} links to {link}"
            assert not to.fragment or unquote(to.fragment) in pages[target].ids, f"{path.name} links to {link}"


def test_the_page_for_python_has_what_the_package_offers(site, pages):
    import ast2hf

    ids = pages[site / "python.html"].ids
    assert [name for name in ast2hf.__all__ if name[0] != "_" and not any(i.endswith(f".{name}") for i in ids)] == []
