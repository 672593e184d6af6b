"""Processes that hear clips beside the one that runs the models."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from queue import SimpleQueue

from ast2hf.errors import InputError, printable
from ast2hf.evaluation.hearing import FrontEnds, Heard, Hearing, Unheard
from ast2hf.evaluation.source import Example

_PRELOADED = ("ast2hf.formats.huggingface.extraction", "torchaudio.compliance.kaldi", "soundfile")
"""What the processes import: once, before they part."""

_CAN_FORK = sys.platform == "linux"
"""Elsewhere a process that has loaded torch and forks may crash; each then has its own imports."""


class Processes:
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

    def __enter__(self) -> Processes:
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
    hearing: Hearing | None = None
    with suppress(EOFError, OSError):
        front_ends = connection.recv()
        while True:
            examples = connection.recv()
            try:
                hearing = hearing or Hearing(front_ends)
                found: list[Heard | Unheard] | Exception = [hearing(example) for example in examples]
            except Exception as error:
                found = error
            connection.send(found)
