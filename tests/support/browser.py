"""Headless Chromium for tests: what a page is like once its scripts have run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def dom(address: str, profile: Path, patience: int = 10) -> str:
    """The document as the browser has it after ``patience`` seconds of the page's own clock."""
    return _chromium(address, profile, f"--virtual-time-budget={patience * 1000}", "--dump-dom")


def screenshot(address: str, path: Path, profile: Path, *options: str, patience: int = 10) -> Path:
    """A PNG of what the browser shows. ``options``: ``--window-size=390,800`` and the like."""
    _chromium(address, profile, f"--virtual-time-budget={patience * 1000}", f"--screenshot={path}", *options)
    return path


def _chromium(address: str, profile: Path, *options: str) -> str:
    assert EXECUTABLE is not None
    command = [EXECUTABLE, *_QUIET, f"--user-data-dir={profile}", *options, address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
