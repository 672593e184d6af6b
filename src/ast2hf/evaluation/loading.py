"""From clips to the features of both front ends, in processes beside the one that runs the models."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
"""How many times what a process has in hand lies ready, or is on the way, for each: a batch is not waited for."""

_PRELOADED = ("ast2hf.evaluation.loading", "ast2hf.formats.huggingface.extraction", "torchaudio", "soundfile")
"""What the processes import: once, before they part, where the system can."""


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
    executor = ProcessPoolExecutor(workers, _context(), _begin, (front_ends,))
    try:
        yield partial(_hear_beside, executor, workers)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


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


def _hear_beside(executor: ProcessPoolExecutor, workers: int, examples: Iterable[Example]) -> Iterator[Result]:
    pending: deque[tuple[tuple[Example, ...], Future[list[Heard | Unheard]]]] = deque()
    rest = iter(examples)
    try:
        while True:
            while len(pending) < _AHEAD * workers and (together := tuple(itertools.islice(rest, _TOGETHER))):
                pending.append((together, executor.submit(_hear_all, together)))
            if not pending:
                return
            together, results = pending[0]
            yield from zip(together, results.result(), strict=True)
            pending.popleft()
    except BrokenProcessPool:
        in_hand = [together[0].name for together, results in pending if not results.done() or results.exception()]
        where = f"at {printable(in_hand[0], 100)} or a clip after it" if in_hand else "before it had a clip"
        raise InputError(
            f"a process that decodes clips was killed, {where}",
            "if memory was short, give data.workers=1; if a clip does it, remove it; what is done is kept",
        ) from None


def _context() -> multiprocessing.context.BaseContext:
    """Not fork: this process has threads, and perhaps a GPU."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


_hearing: _Hearing | None = None
"""Of a process that hears clips for another one."""


def _begin(front_ends: FrontEnds) -> None:
    global _hearing
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all processes of a terminal; the parent ends this
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    _hearing = _Hearing(front_ends)


def _end_with_parent() -> None:
    """However it ends: the executor alone does not see that it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _hear_all(examples: Sequence[Example]) -> list[Heard | Unheard]:
    assert _hearing is not None
    return [_hearing(example) for example in examples]


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
