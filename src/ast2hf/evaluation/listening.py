"""The features of many clips by both front ends, in order, computed ahead of the models that need them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from ast2hf.evaluation.hearing import FrontEnds, Heard, Hearing, Unheard
from ast2hf.evaluation.processes import Processes
from ast2hf.evaluation.source import Example

_TOGETHER = 4
"""Clips that a process gets at a time."""

_AHEAD = 3
"""How many times the clips in progress may be queued, so that the models do not have to wait for a batch."""

Result = tuple[Example, Heard | Unheard]
Listener = Callable[[Iterable[Example]], Iterator[Result]]


@contextmanager
def listening(front_ends: FrontEnds, workers: int) -> Iterator[Listener]:
    """A function from examples to their results, in the same order; a bounded number of them are computed ahead.

    ``workers``: processes; 0: none, each clip is processed here when its turn comes. The results are the same, since
    features are always computed in one thread: the last bits of a filter bank depend on the number of threads.

    Raises InputError if a process is killed, VerificationError if the folder's extractor does not work.
    """
    if not workers:
        yield partial(_hear_here, front_ends)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="clips") as threads, Processes(front_ends, workers) as hear:
        yield partial(_hear_beside, threads, hear, workers)


def _hear_here(front_ends: FrontEnds, examples: Iterable[Example]) -> Iterator[Result]:
    import torch

    hear = Hearing(front_ends)
    for example in examples:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result = hear(example)
        finally:
            torch.set_num_threads(threads)
        yield example, result


def _hear_beside(
    threads: ThreadPoolExecutor, hear: Processes, workers: int, examples: Iterable[Example]
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
