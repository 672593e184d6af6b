"""Downloaded checkpoints: where each is kept, one download for many runs, and the hash that it has from then on."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ast2hf.checkpoint.download import Progress, download
from ast2hf.checkpoint.intake import open_container
from ast2hf.config import Download
from ast2hf.errors import DownloadError, InputError, printable

_PIN = re.compile(r"([0-9a-f]{64})  .*\n?")


def cached_path(url: str, cache: Path) -> Path:
    """Where the file of ``url`` is or will be kept: one folder per address, the server's file name in it."""
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".") or "checkpoint"
    return cache / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:16] / safe


def pin_path(path: Path) -> Path:
    """Where the SHA-256 of a cached file is kept, in the format of ``sha256sum``, which can check it."""
    return path.with_name(f"{path.name}.sha256")


def fetch(url: str, cache: Path, sha256: str | None, limits: Download, progress: Progress) -> tuple[Path, str]:
    """The local copy of ``url``, fetched if ``cache`` has no sound one, and the SHA-256 that it must have.

    ``sha256``: what it is by the user's word. None: what it was when the file was first fetched; the first time, any.
    That the copy in the cache really has it is left to who reads it whole.

    Raises DownloadError, or InputError where it is no checkpoint; then nothing is kept.
    """
    from filelock import FileLock, Timeout

    path = cached_path(url, cache)
    lock = cache / "checkpoints" / ".locks" / f"{path.parent.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=limits.deadline_s):
            path.parent.mkdir(exist_ok=True)
            try:
                return path, _ensure(url, path, sha256, limits, progress)
            finally:
                with suppress(OSError):  # it holds something
                    path.parent.rmdir()
    except Timeout:
        raise DownloadError(
            f"another run has been fetching {printable(url)} for {limits.deadline_s:g} s",
            "try again when it has ended, or give this one more time with download.deadline_s=…",
        ) from None
    except OSError as error:
        raise DownloadError(
            f"the download cannot be kept at {printable(path)} ({error.strerror})",
            "give paths.cache=… on a disk with room",
        ) from error


def _ensure(url: str, path: Path, sha256: str | None, limits: Download, progress: Progress) -> str:
    pinned = _read_pin(path)
    if sha256 in (None, pinned) and _is_sound(path):
        return pinned or _pin(path, _hash(path))
    part = path.with_name(f"{path.name}.part")
    found = download(url, part, limits, progress)
    try:
        _check(url, path, found, sha256, pinned)
        _vet(part, url)
        _pin(path, found)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return found


def _check(url: str, path: Path, found: str, sha256: str | None, pinned: str | None) -> None:
    shown = printable(url)
    if sha256 is not None and found != sha256:
        raise DownloadError(
            f"{shown} has SHA-256 {found}, not {sha256} as model.sha256 says", "check both; nothing of it was kept"
        )
    if sha256 is None and pinned is not None and found != pinned:
        raise DownloadError(
            f"{shown} has SHA-256 {found} now; when it was first fetched it had {pinned}",
            f"if its publisher changed it, give model.sha256={found} once, or delete {printable(pin_path(path))}",
        )


def _vet(part: Path, url: str) -> None:
    """Raise InputError, in terms of the address, where ``part`` is not a whole checkpoint."""
    name = Path(PurePosixPath(urlsplit(url).path).name or "checkpoint")
    try:
        with part.open("rb", buffering=0) as file:
            open_container(name, file)
    except InputError as error:
        raise InputError(f"{printable(url)}: {error.cause}", error.remedy) from error


def _is_sound(path: Path) -> bool:
    try:
        with path.open("rb", buffering=0) as file:
            open_container(path, file)
    except (FileNotFoundError, InputError):
        return False
    return True


def _read_pin(path: Path) -> str | None:
    pin = pin_path(path)
    try:
        match = _PIN.fullmatch(pin.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        match = None
    if match is None:
        raise DownloadError(f"{printable(pin)} holds no SHA-256", "delete it")
    return match[1]


def _pin(path: Path, sha256: str) -> str:
    pin = pin_path(path)
    new = pin.with_name(f"{pin.name}.new")
    new.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    new.replace(pin)
    return sha256


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
