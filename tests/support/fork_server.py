"""Commands without the seconds of their imports: one process has made them, and forks for every command."""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import itertools
import json
import os
import pkgutil
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from support import ROOT
from support.result import Result

_LATE = (
    "alembic.command",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "rich.progress",
    "safetensors.torch",
    "soundfile",
    "torchaudio",
    "transformers.models.audio_spectrogram_transformer.feature_extraction_audio_spectrogram_transformer",
    "transformers.models.audio_spectrogram_transformer.modeling_audio_spectrogram_transformer",
)
"""What commands import inside functions: three thousand modules with all that they need, most of a command's time."""


@dataclass(frozen=True)
class Command:
    """A command at work. ``pid`` is not a child of this process; ``exit_code``: where its parent writes the code."""

    pid: int
    exit_code: TextIO
    output: Path

    def is_running(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def wait(self) -> Result:
        with self.exit_code:
            code = int(self.exit_code.readline())
        out, err = (self.output.with_suffix(s).read_text(errors="replace") for s in (".out", ".err"))
        return Result(code, out, err)


class ForkServer:
    """``folder``: for the output of commands. Any number of them run at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.fork_server"],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT / 'src'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stdout.readline() == "ready\n"

    def start(self, folder: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> Command:
        output = self._folder / str(next(self._numbers))
        pipe = output.with_suffix(".pipe")
        os.mkfifo(pipe)
        task = {"output": str(output), "folder": str(folder), "environment": environment, "arguments": arguments}
        self._process.stdin.write(json.dumps(task) + "\n")
        answers = pipe.open()
        return Command(int(answers.readline()), answers, output)

    def close(self) -> None:
        with self._process:  # the end of its input is its own
            self._process.stdin.close()


@functools.cache
def shared() -> ForkServer:
    """The server of this session of tests, started when first asked for."""
    folder = Path(tempfile.mkdtemp(prefix="ast2hf-commands-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = ForkServer(folder)
    atexit.register(server.close)
    return server


def _serve() -> None:
    import ast2hf
    from ast2hf.cli import process
    from support import models

    process.tune_process()  # libraries read it when they are imported
    for name in [*(module.name for module in pkgutil.walk_packages(ast2hf.__path__, "ast2hf.")), *_LATE]:
        with suppress(ImportError):  # what needs a package that is not installed here
            importlib.import_module(name)
    models.compose()  # Hydra finds its plugins, and its parser learns
    assert "datasets" not in sys.modules, "it keeps the address of the Hub from its import on; each command has its own"
    gc.freeze()  # a collection in a child would copy every page of the imports
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the parents of commands
    print("ready", flush=True)
    while line := sys.stdin.readline():
        if not os.fork():
            _run(**json.loads(line))


def _run(output: str, folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    """Run a command in a child. Returns in the child only; its parent says the exit code.

    The child says its process id once it has become the command, since a test may end it from then on.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(f"{output}.pipe", "w", buffering=1) as answers:  # noqa: PTH123
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)
            answers.close()
            os._exit(0)
        _become(output, folder, environment, arguments)
        print(os.getpid(), file=answers)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        _end(end.code)


def _become(output: str, folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    """Take the standard streams, folder, environment and arguments of a command that was started in a shell."""
    import huggingface_hub.constants

    for fd, path in enumerate((os.devnull, f"{output}.out", f"{output}.err")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if fd else 0)), fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(huggingface_hub.constants)  # the one module here that keeps what the environment said at import
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test may run where it is ignored
    sys.argv = [str(ROOT / "convert.py"), *arguments]


def _end(code: object) -> None:
    """As Python ends, without taking three thousand modules apart."""
    assert isinstance(code, int), code
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
