"""The cache of downloaded checkpoints: one download for concurrent runs, its SHA-256 verified from then on."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ast2hf.checkpoint.download import Progress, download
from ast2hf.checkpoint.sniff import open_container
from ast2hf.config import Download
from ast2hf.errors import DownloadError, InputError, printable
from ast2hf.local_files import NoFileError, open_file, read_file, write_atomically

_PIN = re.compile(r"([0-9a-f]{64})  .*\n?")

_MAX_PIN = 4096
"""Bytes."""


def cached_path(url: str, cache: Path) -> Path:
    """Where ``cache`` keeps the file of ``url``: one folder per URL, containing the file under the server's name."""
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".") or "checkpoint"
    return cache / "checkpoints" / hashlib.sha256(url.encode()).hexdigest()[:16] / safe


def pin_path(path: Path) -> Path:
    """The file with the SHA-256 of a cached file, in the format of ``sha256sum --check``."""
    return path.with_name(f"{path.name}.sha256")


def fetch(url: str, cache: Path, sha256: str | None, limits: Download, progress: Progress) -> tuple[Path, str]:
    """The local copy of ``url``, downloaded unless ``cache`` has an intact one, and the SHA-256 that it must have.

    ``sha256``: the value that the user requires. None: the value recorded at the first download, which accepts any.
    The caller reads the whole file anyway and must check that a cached copy really has this hash.

    Raises DownloadError, or InputError if the file is not a checkpoint; in both cases nothing is kept.
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
                with suppress(OSError):  # raised if it is not empty
                    path.parent.rmdir()
    except Timeout:
        raise DownloadError(
            f"another run has been downloading {printable(url)} for {limits.deadline_s:g} s",
            "wait for it to finish, or raise download.deadline_s",
        ) from None
    except OSError as error:
        raise DownloadError(
            f"cannot write the download to {printable(path)} ({error.strerror})",
            "set paths.cache=… to a disk with free space",
        ) from error


def _ensure(url: str, path: Path, sha256: str | None, limits: Download, progress: Progress) -> str:
    pinned = _read_pin(path)
    if sha256 in (None, pinned) and _is_sound(path):
        return pinned or _pin(path, _hash(path))
    part = path.with_name(f"{path.name}.part")
    found = download(url, part, limits, progress)
    try:
        _check(url, path, found, sha256, pinned)
        _validate(part, url)
        _pin(path, found)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return found


def _check(url: str, path: Path, found: str, sha256: str | None, pinned: str | None) -> None:
    shown = printable(url)
    if sha256 is not None and found != sha256:
        raise DownloadError(
            f"{shown} has SHA-256 {found}, but model.sha256 is {sha256}", "check the URL and the hash; nothing was kept"
        )
    if sha256 is None and pinned is not None and found != pinned:
        raise DownloadError(
            f"{shown} now has SHA-256 {found}, but had {pinned} when it was first downloaded",
            f"if its publisher has changed it, set model.sha256={found} once, or delete {printable(pin_path(path))}",
        )


def _validate(part: Path, url: str) -> None:
    """Raise InputError, naming the URL, if ``part`` is not a complete checkpoint."""
    name = Path(PurePosixPath(urlsplit(url).path).name or "checkpoint")
    try:
        with open_file(part) as file:
            open_container(name, file)
    except InputError as error:
        raise InputError(f"{printable(url)}: {error.cause}", error.remedy) from error


def _is_sound(path: Path) -> bool:
    try:
        with open_file(path) as file:
            open_container(path, file)
    except (FileNotFoundError, NoFileError, InputError):
        return False
    return True


def _read_pin(path: Path) -> str | None:
    pin = pin_path(path)
    try:
        match = _PIN.fullmatch(read_file(pin, _MAX_PIN).decode())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (OSError, ValueError):  # a folder, a pipe, too long, not text
        match = None
    if match is None:
        raise DownloadError(f"{printable(pin)} does not contain a SHA-256", "delete it")
    return match[1]


def _pin(path: Path, sha256: str) -> str:
    write_atomically(pin_path(path), f"{sha256}  {path.name}\n".encode())
    return sha256


def _hash(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
