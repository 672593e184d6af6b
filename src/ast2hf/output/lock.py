"""Build the model folder in a hidden folder beside its target, and publish it with one rename or not at all.

Only one run at a time can write to a target: it holds the lock on ``.NAME.lock`` beside it. Everything that runs write
for NAME before publishing, and the folder that they replace, is also beside it, as ``.NAME.TOKEN.KIND``. So whoever
holds the lock knows that folders with other tokens belong to dead runs, and cleans up after them.

A name proves nothing, since anyone can create a folder with it. So a run notes in its lock file which folder it is
about to move aside (:mod:`lock_file`), and no other folder is ever moved back.

The lock uses flock: the system releases it when the process ends, however it ends. It works across the nodes of a
cluster if the file system supports it (NFS since Linux 2.6.12, Lustre mounted with ``flock``); the lock of a lost node
is free once the server has dropped it. A file system without locks is refused.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ast2hf import local_files, signals
from ast2hf.errors import OutputError, printable
from ast2hf.output import lock_file, up_to_date
from ast2hf.output.files import writing

STAGING = "staging"
SCRATCH = "scratch"
_PREVIOUS = "previous"

_OF_OUTPUTS = ("models", "runs", "multiruns", "mlartifacts")
"""Folders in ``paths.outputs`` that each hold the results of many runs."""

log = logging.getLogger(__name__)


def check_place(target: Path, outputs: Path) -> None:
    """Raise OutputError if no folder can be created at ``target``, before any work is done.

    ``outputs``: ``paths.outputs`` in full; with overwrite=true, everything in it would be lost.
    """
    shown = printable(target)
    kept = [(Path.cwd(), "the working directory"), (Path.home(), "your home directory")]
    kept += [(outputs / name, f"paths.outputs/{name}") for name in _OF_OUTPUTS]
    for folder, what in kept:
        if folder == target or target in folder.parents:
            raise OutputError(f"output_dir {shown} is {what} or contains it", "set output_dir=… to a new folder")
    parent = next(p for p in target.parents if local_files.is_there(p))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{printable(parent)} is not a folder that you may write to", "set another output_dir=…")


def check_free(target: Path, overwrite: bool) -> None:
    """Raise OutputError if ``target`` exists and may not be replaced."""
    if os.path.lexists(target) and not overwrite:
        if up_to_date.is_synthetic(target):
            raise OutputError(
                f"{printable(target)} already exists, made of synthetic weights",
                "set overwrite=true to replace it (nothing is lost), or set another output_dir=…",
            )
        raise OutputError(
            f"{printable(target)} already exists", "set another output_dir=…, or overwrite=true to replace it"
        )


@dataclass(frozen=True)
class OutputLock:
    """The right to publish ``target``, valid inside :func:`lock_output`."""

    target: Path
    token: str

    def sibling_path(self, kind: str) -> Path:
        return self.target.parent / f".{self.target.name}.{self.token}.{kind}"

    def new_folder(self, kind: str) -> Path:
        """Create a hidden folder on the target's file system; it is removed with the lock. Raises OutputError."""
        path = self.sibling_path(kind)
        with writing(path):
            path.mkdir()
        return path

    def start_sync(self) -> None:
        """Sync the staging folder to disk in the background, so that :meth:`publish` need not wait for it."""
        paths = list(self.sibling_path(STAGING).iterdir())

        def sync() -> None:
            with suppress(OSError):  # publish() raises it, if it still matters
                for path in paths:
                    _fsync(path)

        threading.Thread(target=sync, name="fsync", daemon=True).start()

    def publish(self, overwrite: bool) -> None:
        """Sync the staging folder to disk, then rename it to the target (two renames if it replaces another folder).

        Raises OutputError; the replaced folder is then moved back. After a kill between the renames, the next run
        does that.
        """
        staged = self.sibling_path(STAGING)
        with writing(self.target):
            for path in [*staged.iterdir(), staged]:
                _fsync(path)
            with signals.held():
                if overwrite and os.path.lexists(self.target):
                    lock_file.note_moved_aside(lock_path(self.target), self.target, self.token)
                    self.target.rename(self.sibling_path(_PREVIOUS))
                if os.path.lexists(self.target):  # rename() would silently replace an empty folder
                    raise FileExistsError(errno.EEXIST, "it was created while the conversion ran")
                staged.rename(self.target)
            _fsync(self.target.parent)


def lock_path(target: Path) -> Path:
    return target.parent / f".{target.name}.lock"


@contextmanager
def lock_output(target: Path) -> Iterator[OutputLock]:
    """Hold the lock on ``target``, and clean up after killed runs at the start and after this one at the end.

    Raises OutputError if another run holds the lock.
    """
    path = lock_path(target)
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    with ExitStack() as stack:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            lock_file.check(path)
            try:
                stack.enter_context(lock)
            except Timeout:
                raise lock_file.held(path, target) from None
            # Removed before it is released: whoever has opened it by then notices that it is gone (filelock checks).
            stack.callback(path.unlink, missing_ok=True)
        _clear(target)
        with writing(target):
            lock_file.note_holder(path)
        stack.callback(_clear, target)
        try:
            yield OutputLock(target, uuid.uuid4().hex[:12])
        finally:
            # A signal during cleanup would leave it unfinished.
            with signals.held():
                stack.close()


def _clear(target: Path) -> None:
    """Remove folders that were never published or have been replaced. Move back one that was not replaced after all.

    A folder with such a name that no run is known to have moved aside is left alone as long as nothing replaces it.
    """
    with writing(target), signals.held():
        left = re.compile(re.escape(f".{target.name}.") + rf"[0-9a-f]{{12}}\.({STAGING}|{SCRATCH}|{_PREVIOUS})")
        for path in [p for p in target.parent.iterdir() if left.fullmatch(p.name)]:
            if path.suffix == f".{_PREVIOUS}" and not os.path.lexists(target):
                if lock_file.was_moved_aside(lock_path(target), path, path.name.rsplit(".", 2)[1]):
                    path.rename(target)
                else:
                    log.warning("%s is left alone: its origin is unknown", path.name)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
