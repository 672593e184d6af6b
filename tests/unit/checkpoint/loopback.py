"""A checkpoint, and a server on loopback to fetch it from."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch

from ast2hf.checkpoint import cache
from ast2hf.config import Download

LIMITS = Download(timeout_s=5.0, deadline_s=60.0)


def _saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(100_000)}, buffer)
    return buffer.getvalue()


CONTENT = _saved()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def ignore(done: int, total: int | None) -> None:
    pass


def fetch(url: str, folder: Path, sha256: str | None = None, limits: Download = LIMITS) -> Path:
    return cache.fetch(url, folder, sha256, limits, ignore)[0]


def kept(folder: Path) -> list[str]:
    """The names of the files in a cache, its locks aside."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
