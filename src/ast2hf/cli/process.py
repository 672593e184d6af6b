"""Process-wide settings of the command. Importing ast2hf or calling its functions must not change any of them."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType

log = logging.getLogger(__name__)

_DEFAULTS = {
    "TRANSFORMERS_VERBOSITY": "error",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tune_process() -> None:
    """Silence libraries and logging. Call this before torch, transformers or mlflow is imported."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach ast2hf.cli.launch, which shows them in one line
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.raiseExceptions = False  # on a full disk, a traceback for each line of the log does not help


def warnings_to_log() -> None:
    """Send warnings of libraries to the log of the run; the terminal has its own display."""
    logging.captureWarnings(True)


def set_threads(count: int) -> None:
    """Compute on the CPU with ``count`` threads."""
    os.environ["OMP_NUM_THREADS"] = str(count)  # torch's libraries read it once, on import
    if "torch" in sys.modules:  # imported by an earlier job
        sys.modules["torch"].set_num_threads(count)


def log_threads() -> None:
    """Write the number of threads to the log of the run, once torch is imported."""
    import torch

    log.info("threads: %d", torch.get_num_threads())


def import_in_background(modules: Sequence[str]) -> None:
    """Import ``modules`` in a thread, in parallel with work that releases the GIL. Missing modules are skipped."""

    def run() -> None:
        with without_garbage_collection():
            for module in modules:
                with suppress(ImportError):
                    import_module(module)

    threading.Thread(target=run, name="imports").start()


@contextmanager
def without_scipy() -> Iterator[None]:
    """For the import of transformers, which imports scipy.optimize for losses of object detection: up to a second.

    Where scipy was imported before, it stays.
    """
    if "scipy" in sys.modules:
        yield
        return
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    modules["scipy"] = None  # which Python takes for a module that cannot be found
    try:
        yield
    finally:
        del sys.modules["scipy"]


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For the imports of torch, transformers and mlflow, which create millions of objects that live forever.

    Without collections during the imports, and with the objects frozen afterwards, a command takes about 1.5 s less,
    most of it at exit.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
