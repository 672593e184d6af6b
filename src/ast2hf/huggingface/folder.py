"""The model folder is built in a staging folder beside its target and published by one rename, or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ast2hf.errors import OutputError, printable

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
CARD = "README.md"
REPORT = "conversion_report.json"


def check_target(target: Path, overwrite: bool) -> None:
    """Raise OutputError where ``target`` could not be published, before any work is done for it."""
    shown = printable(target)
    for kept, what in ((Path.cwd(), "the working directory"), (Path.home(), "your home directory")):
        if kept == target or target in kept.parents:
            raise OutputError(f"output_dir {shown} is {what} or above it", "give a folder of its own as output_dir=…")
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{shown} exists", "give another output_dir=…, or overwrite=true to replace it")
    parent = next(p for p in target.parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{printable(parent)} is not a folder that you may write to", "give another output_dir=…")


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A new folder beside ``target``, on the same file system; what is left of it at the end is removed."""
    folder = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.staging"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Sorted as given, so that the same input gives the same bytes."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def publish(folder: Path, target: Path, overwrite: bool) -> None:
    """Make ``folder`` the ``target``: written to the disk first, then one rename (with a predecessor, two)."""
    for path in [*folder.iterdir(), folder]:
        _fsync(path)
    previous = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.previous"
    replaced = overwrite and os.path.lexists(target)
    try:
        if replaced:
            target.rename(previous)
        try:
            _rename_to_new(folder, target)
        except OSError:
            if replaced:
                previous.rename(target)
            raise
    except OSError as error:
        raise write_error(target, error) from error
    _fsync(target.parent)
    if replaced:
        _remove(previous)


def _rename_to_new(folder: Path, target: Path) -> None:
    # rename() would silently replace an empty folder, so ask first.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "it appeared while the conversion ran", str(target))
    folder.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_error(path: Path, error: OSError) -> OutputError:
    remedies = {
        errno.ENOSPC: "free some space, or give output_dir=… on another disk",
        errno.EDQUOT: "free some of your quota, or give output_dir=… elsewhere",
        errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
        errno.EEXIST: "give another output_dir=…, or overwrite=true to replace it",
    }
    remedy = remedies.get(error.errno or 0, "give another output_dir=…")
    return OutputError(f"{printable(path)} cannot be written ({error.strerror or printable(error)})", remedy)
