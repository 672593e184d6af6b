"""The command line without the seconds of its imports: one process has made them, and forks for every command."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, Cli, Result


@dataclass(frozen=True)
class Command:
    """A command at work. ``pid`` is no child of this process: :meth:`wait` asks the one that is its parent."""

    pid: int
    parent: subprocess.Popen[str]
    output: Path

    def is_running(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def wait(self) -> Result:
        code = int(self.parent.stdout.readline())
        out, err = (self.output.with_suffix(s).read_text(errors="replace") for s in (".out", ".err"))
        return Result(code, out, err)


class Server:
    """A process that forks for one command at a time."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output"
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT / 'src'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # the end of its input is its own
            self._process.stdin.close()

    def start(self, cli: Cli, arguments: tuple[str, ...]) -> Command:
        task = {"output": str(self._output), "folder": str(cli.folder), "environment": cli.environment}
        self._process.stdin.write(json.dumps({**task, "arguments": arguments}) + "\n")
        return Command(int(self._process.stdout.readline()), self._process, self._output)


@dataclass(frozen=True)
class Warm:
    """``convert.py`` in the folder of ``cli``."""

    cli: Cli
    server: Server

    def start(self, *arguments: str) -> Command:
        return self.server.start(self.cli, arguments)

    def __call__(self, *arguments: str) -> Result:
        return self.start(*arguments).wait()


@pytest.fixture(scope="session")
def first_server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("first")) as server:
        yield server


@pytest.fixture(scope="session")
def second_server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("second")) as server:
        yield server


@pytest.fixture
def warm(cli, first_server) -> Warm:
    return Warm(cli, first_server)


@pytest.fixture
def two(warm, second_server) -> list[Warm]:
    """For two commands at the same time."""
    return [warm, Warm(warm.cli, second_server)]


def _serve() -> None:
    import ast2hf.cli.launch
    import ast2hf.report.model_card
    import ast2hf.verify.proof  # noqa: F401

    print("ready", flush=True)
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            _become(**json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(output: str, folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    for fd, path in enumerate((os.devnull, f"{output}.out", f"{output}.err")):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if fd else 0)), fd)
    os.chdir(folder)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test may run where it is ignored
    sys.argv = [str(ROOT / "convert.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _serve()
