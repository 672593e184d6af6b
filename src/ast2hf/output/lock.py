"""The model folder is built in a hidden folder beside its target and published by one rename, or not at all.

One run at a time has a target: it holds the lock on ``.NAME.lock`` beside it. All that runs write for NAME before it is
published, and the folder that they replace, lies beside it too, as ``.NAME.TOKEN.KIND``. So whoever has the lock knows
that those of other tokens belong to runs that are dead, and puts in order what they left.

A name proves nothing, since anybody can make a folder of it. So a run notes in its lock file which folder it is about
to move aside (:mod:`lock_file`), and no other is ever put back.

The lock is flock's: the system releases it when its process ends, however it ends. Between the nodes of a cluster it
holds where the file system carries it (NFS from Linux 2.6.12, Lustre mounted with ``flock``); that of a lost node is
free once the server has given it up. A file system without locks is refused.
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

from ast2hf import signals
from ast2hf.errors import OutputError, printable
from ast2hf.output import lock_file
from ast2hf.output.files import writing

STAGING = "staging"
SCRATCH = "scratch"
_PREVIOUS = "previous"

log = logging.getLogger(__name__)


def check_place(target: Path) -> None:
    """Raise OutputError where no folder can be made at ``target``, before any work is done for it."""
    shown = printable(target)
    for kept, what in ((Path.cwd(), "the working directory"), (Path.home(), "your home directory")):
        if kept == target or target in kept.parents:
            raise OutputError(f"output_dir {shown} is {what} or above it", "give a folder of its own as output_dir=…")
    parent = next(p for p in target.parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{printable(parent)} is not a folder that you may write to", "give another output_dir=…")


def check_free(target: Path, overwrite: bool) -> None:
    """Raise OutputError where something is at ``target`` that is not to be replaced."""
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{printable(target)} exists", "give another output_dir=…, or overwrite=true to replace it")


@dataclass(frozen=True)
class OutputLock:
    """The right to publish ``target``, for as long as :func:`lock_output` lasts."""

    target: Path
    token: str

    def sibling_path(self, kind: str) -> Path:
        return self.target.parent / f".{self.target.name}.{self.token}.{kind}"

    def new_folder(self, kind: str) -> Path:
        """A hidden folder on the file system of the target, removed with the claim. Raises OutputError."""
        path = self.sibling_path(kind)
        with writing(path):
            path.mkdir()
        return path

    def start_sync(self) -> None:
        """Write the staging folder to the disk beside other work, so that :meth:`publish` need not wait for it."""
        paths = list(self.sibling_path(STAGING).iterdir())

        def sync() -> None:
            with suppress(OSError):  # publish() raises it, if it still matters
                for path in paths:
                    _fsync(path)

        threading.Thread(target=sync, name="fsync", daemon=True).start()

    def publish(self, overwrite: bool) -> None:
        """Make the staging folder the target: written to the disk first, then one rename (with a predecessor, two).

        Raises OutputError; the predecessor is then put back. A kill between the two leaves that to the next run.
        """
        staged = self.sibling_path(STAGING)
        with writing(self.target):
            for path in [*staged.iterdir(), staged]:
                _fsync(path)
            with signals.held():
                if overwrite and os.path.lexists(self.target):
                    lock_file.note_moved_aside(lock_path(self.target), self.target, self.token)
                    self.target.rename(self.sibling_path(_PREVIOUS))
                if os.path.lexists(self.target):  # which rename() would silently replace, if it is an empty folder
                    raise FileExistsError(errno.EEXIST, "it appeared while the conversion ran")
                staged.rename(self.target)
            _fsync(self.target.parent)


def lock_path(target: Path) -> Path:
    return target.parent / f".{target.name}.lock"


@contextmanager
def lock_output(target: Path) -> Iterator[OutputLock]:
    """Hold the lock on ``target`` and put in order what killed runs left; at the end, what this one did.

    Raises OutputError where another run has the lock.
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
            # Removed before it is released: whoever has opened it by then sees that it is gone (filelock looks).
            stack.callback(path.unlink, missing_ok=True)
        _clear(target)
        with writing(target):
            lock_file.note_holder(path)
        stack.callback(_clear, target)
        try:
            yield OutputLock(target, uuid.uuid4().hex[:12])
        finally:
            # A signal between two of its steps would leave the rest undone.
            with signals.held():
                stack.close()


def _clear(target: Path) -> None:
    """Remove what was never published and what has been replaced. What was replaced by nothing is put back.

    A folder of such a name that no run is known to have moved aside is left there, as long as nothing replaces it.
    """
    with writing(target), signals.held():
        left = re.compile(re.escape(f".{target.name}.") + rf"[0-9a-f]{{12}}\.({STAGING}|{SCRATCH}|{_PREVIOUS})")
        for path in [p for p in target.parent.iterdir() if left.fullmatch(p.name)]:
            if path.suffix == f".{_PREVIOUS}" and not os.path.lexists(target):
                if lock_file.was_moved_aside(lock_path(target), path, path.name.rsplit(".", 2)[1]):
                    path.rename(target)
                else:
                    log.warning("%s is left alone: it is not known where it comes from", path.name)
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
