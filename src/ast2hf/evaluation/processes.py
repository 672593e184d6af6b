"""Processes that decode clips and compute features, next to the one that runs the models."""

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
"""What the processes import: once, before they fork."""

_CAN_FORK = sys.platform == "linux"
"""Elsewhere a process that forks after loading torch may crash, so each makes its own imports."""


class Processes:
    """Processes that compute features, each with its own pipe: if one is killed, its pipe closes, and no lock remains.

    They are not those of multiprocessing, which run the caller's script again and cannot start in the jobs of joblib.
    However this process ends, they read the end of their pipes and end too. A Ctrl-C does not reach them.
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
            with suppress(OSError):  # it was killed already: the first clips will raise the error
                own.send(front_ends)
            self._idle.put(own)

    def __call__(self, examples: tuple[Example, ...]) -> list[Heard | Unheard]:
        """Have one process compute ``examples``. May be called from as many threads as there are processes."""
        connection = self._idle.get()
        try:
            connection.send(examples)
            found: list[Heard | Unheard] | Exception = connection.recv()
        except (EOFError, OSError):
            raise InputError(
                f"a process that decodes clips was killed, at {printable(examples[0].name, 100)} or one of the "
                f"{len(examples) - 1} after it",
                "if memory ran out, set data.workers=1; if a clip causes it, remove that clip; finished parts are kept",
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
                os.killpg(parent.pid, signal.SIGKILL)  # with its forks
            parent.wait()


def serve(ends: Sequence[str]) -> None:
    """Fork one process for each of ``ends``, file descriptors; they share the imports."""
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
    """Compute whatever arrives, until the pipe is closed."""
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
