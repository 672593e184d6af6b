"""From clips to the features of both front ends, in processes beside the one that runs the models."""

from __future__ import annotations

import gc
import hashlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ast2hf import audio, local_files
from ast2hf.errors import InputError, printable
from ast2hf.evaluation.source import Example
from ast2hf.families.base import FrontEnd
from ast2hf.formats.base import Format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_TOGETHER = 4
"""Clips that a process is given at a time."""

_AHEAD = 3
"""How many times as much as all processes have in hand may lie ready, so that a batch need not be waited for."""

_PRELOADED = ("ast2hf.formats.huggingface.extraction", "torchaudio.compliance.kaldi", "soundfile")
"""What the processes import: once, before they part."""

_CAN_FORK = sys.platform == "linux"
"""Elsewhere a process that has loaded torch and forks may crash; each then has its own imports."""


@dataclass(frozen=True)
class FrontEnds:
    """The authors' front end, and the folder whose own extractor is the other one."""

    original: FrontEnd
    format: Format
    folder: Path


@dataclass(frozen=True)
class Heard:
    """``original``: the features of the authors' front end; ``converted``: of the folder's, both (frames, bins)."""

    sha256: str
    original: NDArray[np.float32]
    converted: NDArray[np.float32]


@dataclass(frozen=True)
class Unheard:
    """A clip that cannot be read or decoded. ``sha256``: empty where it cannot be read."""

    sha256: str
    reason: str


Result = tuple[Example, Heard | Unheard]
Listener = Callable[[Iterable[Example]], Iterator[Result]]


@contextmanager
def listening(front_ends: FrontEnds, workers: int) -> Iterator[Listener]:
    """A function from examples to their results, in the same order; a bounded number of them are computed ahead.

    ``workers``: processes; 0: none, each clip is heard in this process when its turn comes. Results are the same, since
    features are always computed in one thread: the last bits of a filter bank depend on the number.

    Raises InputError where a process is killed, VerificationError where the folder's extractor does not work.
    """
    if not workers:
        yield partial(_hear_here, front_ends)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="clips") as threads, _Processes(front_ends, workers) as hear:
        yield partial(_hear_beside, threads, hear, workers)


def _hear_here(front_ends: FrontEnds, examples: Iterable[Example]) -> Iterator[Result]:
    import torch

    hear = _Hearing(front_ends)
    for example in examples:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result = hear(example)
        finally:
            torch.set_num_threads(threads)
        yield example, result


def _hear_beside(
    threads: ThreadPoolExecutor, hear: _Processes, workers: int, examples: Iterable[Example]
) -> Iterator[Result]:
    pending: deque[tuple[tuple[Example, ...], Future[list[Heard | Unheard]]]] = deque()
    rest = iter(examples)
    while True:
        while len(pending) < _AHEAD * workers and (together := tuple(itertools.islice(rest, _TOGETHER))):
            pending.append((together, threads.submit(hear, together)))
        if not pending:
            return
        together, results = pending.popleft()
        yield from zip(together, results.result(), strict=True)


class _Processes:
    """Processes that hear clips, each with a pipe of its own: one that is killed leaves the pipe closed, and no lock.

    Not those of multiprocessing, which run the caller's script again, and cannot begin in the jobs of joblib. When this
    process ends, however it does, they read the end of their pipes, and end too. A Ctrl-C does not reach them.
    """

    def __init__(self, front_ends: FrontEnds, count: int) -> None:
        self._idle: SimpleQueue[Connection] = SimpleQueue()
        pipes = [multiprocessing.Pipe() for _ in range(count)]
        ends = [str(other.fileno()) for _, other in pipes]
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve(sys.argv[1:])"
        self._parents = [
            subprocess.Popen(
                [sys.executable, "-c", program, *together], stdin=subprocess.DEVNULL, process_group=0,
                pass_fds=[int(end) for end in together],
            )
            for together in ([ends] if _CAN_FORK else [[end] for end in ends])
        ]  # fmt: skip
        for own, other in pipes:
            other.close()
            with suppress(OSError):  # it is killed already: the first clips say so
                own.send(front_ends)
            self._idle.put(own)

    def __call__(self, examples: tuple[Example, ...]) -> list[Heard | Unheard]:
        """Have one of them hear ``examples``. May be called in as many threads as there are processes."""
        connection = self._idle.get()
        try:
            connection.send(examples)
            found: list[Heard | Unheard] | Exception = connection.recv()
        except (EOFError, OSError):
            raise InputError(
                f"a process that decodes clips was killed, at {printable(examples[0].name, 100)} or one of the "
                f"{len(examples) - 1} after it",
                "if memory was short, give data.workers=1; if a clip does it, remove it; what is done is kept",
            ) from None
        finally:
            self._idle.put(connection)
        if isinstance(found, Exception):
            raise found
        return found

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for parent in self._parents:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)  # with those that it has begun
            parent.wait()


def serve(ends: Sequence[str]) -> None:
    """What such a process does: one for each of ``ends``, file descriptors, which have the imports in common."""
    for module in _PRELOADED:
        import_module(module)
    gc.freeze()  # a collection would copy every page of the imports
    for place, end in enumerate(ends):
        if len(ends) == 1 or not os.fork():
            for other in ends[place + 1 :]:
                os.close(int(other))
            _serve(Connection(int(end)))
            os._exit(0)
        os.close(int(end))
    for _ in ends:
        os.wait()


def _serve(connection: Connection) -> None:
    """Hear what comes, until nothing can come any more."""
    import torch

    torch.set_num_threads(1)
    hearing: _Hearing | None = None
    with suppress(EOFError, OSError):
        front_ends = connection.recv()
        while True:
            examples = connection.recv()
            try:
                hearing = hearing or _Hearing(front_ends)
                found: list[Heard | Unheard] | Exception = [hearing(example) for example in examples]
            except Exception as error:
                found = error
            connection.send(found)


class _Hearing:
    """Both front ends, ready."""

    def __init__(self, front_ends: FrontEnds) -> None:
        self._original = front_ends.original
        self._extract: Callable[[Tensor], Tensor] = front_ends.format.extractor(
            front_ends.folder, front_ends.original.sampling_rate
        )

    def __call__(self, example: Example) -> Heard | Unheard:
        try:
            content = (
                example.audio
                if isinstance(example.audio, bytes)
                else local_files.read_file(example.audio, audio.MAX_FILE)
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            return Unheard("", f"it cannot be read ({printable(why, 100)})")
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            waveform = audio.decode(content, example.name, self._original.sampling_rate).waveform
        except InputError as error:
            return Unheard(sha256, error.cause)
        return Heard(sha256, self._original(waveform)[0].numpy(), self._extract(waveform)[0].numpy())
