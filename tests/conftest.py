"""What all tests share: tiny models, the golden figures, and the command line as a subprocess."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browser
import httpx
import postgresql
import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from ast2hf import pipeline, settings
from ast2hf.checkpoint import synthetic
from ast2hf.cli import aftermath
from ast2hf.config import Config, Model
from ast2hf.geometry import Geometry, resolve
from ast2hf.run import Run

pytest_plugins = ["fault_table", "warm"]

ROOT = Path(__file__).parent.parent

TINY = Geometry(
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=1,
    num_labels=7,
    patch_size=16,
    frequency_stride=16,
    time_stride=16,
    max_length=64,
    num_mel_bins=128,
)
"""A model of some 0.4 MB, converted and proved in well under a second (imports aside)."""

TINY_OVERRIDES = (
    "model=ast_16_16",
    "model.hidden_size=64",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=1",
    "model.num_labels=7",
    "model.max_length=64",
)
"""The same as TINY on the command line."""


VARIANTS = (
    "ast_10_10_0_4593",
    "ast_10_10_0_450",
    "ast_10_10_0_448",
    "ast_10_10_0_448_v2",
    "ast_12_12",
    "ast_14_14",
    "ast_16_16",
    "ast_speech_commands_v2",
)
"""The published ones, in the order of the golden figures: the seed of each is its position, from 1."""


def compose(*overrides: str) -> Config:
    """The configuration of a command line, without running it."""
    settings.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = settings.typed(hydra_compose("config", overrides=list(overrides)))
    settings.resolve(config)
    return config


def convert_and_record(run: Run) -> None:
    """What a job of the command does with ``run``."""
    with ExitStack() as on_exit:
        with aftermath.failure_recorded(run, on_exit):
            target, skipped = pipeline.convert(run)
        aftermath.finish(run, target, skipped)


def model_of(variant: str) -> Model:
    return compose(f"model={variant}").model


def geometry_of(variant: str) -> Geometry:
    return resolve(model_of(variant), {})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compat-python", help="the Python of an environment with transformers 4.57")
    parser.addoption("--kills", type=int, default=18, help="how often each signal ends a run (case 50)")
    parser.addoption("--kill-seed", default="0", help="of the moments at which it does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    import torch

    no_gpu = pytest.mark.skip(reason="no CUDA and no MPS device here")
    no_compat = pytest.mark.skip(reason="run by make compat, in a second environment")
    no_browser = pytest.mark.skip(reason="no Chromium here; make browser installs it on Debian")
    no_server = pytest.mark.skip(reason="no PostgreSQL, moto or psycopg2 here; make server installs them on Debian")
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    for item in items:
        if "gpu" in item.keywords and not gpu:
            item.add_marker(no_gpu)
        if "browser" in item.keywords and browser.EXECUTABLE is None:
            item.add_marker(no_browser)
        if "server" in item.keywords and not postgresql.POSSIBLE:
            item.add_marker(no_server)
        if "compat" in item.keywords and not config.getoption("--compat-python"):
            item.add_marker(no_compat)


@pytest.fixture(scope="session", autouse=True)
def _quiet_environment() -> None:
    """No telemetry, no network, no caches of the person who runs the tests."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", HF_HUB_DISABLE_TELEMETRY="1")


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of TINY as the authors' code saves it, seed 1."""
    path = tmp_path / "tiny.pth"
    synthetic.write(path, TINY, 1)
    return path


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The one line that an expected error prints; fails the test if there are more, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]


@dataclass(frozen=True)
class Cli:
    """The command line in an empty folder of its own, without network: anything that wants one fails."""

    folder: Path
    environment: dict[str, str]
    wrapper: tuple[str, ...] = ()
    """A command that runs the command in its arguments."""

    @classmethod
    def make(cls, parent: Path) -> Cli:
        folder = parent / "work"
        folder.mkdir()
        environment = {
            **os.environ,
            "AST2HF_CACHE": str(parent / "cache"),
            "HF_HOME": str(parent / "hf"),
            "HF_HUB_OFFLINE": "1",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return cls(folder, environment)

    def __call__(self, *arguments: str, **environment: str) -> Result:
        done = subprocess.run(
            [*self.wrapper, sys.executable, str(ROOT / "convert.py"), *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def tiny(self, *arguments: str, **environment: str) -> Result:
        """Convert the tiny model, offline and untracked unless ``arguments`` say otherwise."""
        return self("experiment=offline", "tracking=off", *TINY_OVERRIDES, *arguments, **environment)

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    def model_folder(self, name: str = "ast-finetuned-audioset-16-16-0.442") -> Path:
        return self.outputs / "models" / name

    def run_reports(self) -> list[dict[str, Any]]:
        """The reports of all runs, oldest first."""
        return [json.loads(p.read_text()) for p in sorted(self.outputs.glob("runs/*/conversion_report.json"))]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli.make(tmp_path)


@pytest.fixture
def free_port() -> int:
    """A port of the loopback address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def http_program(*command: str, health: str, **environment: str) -> Iterator[None]:
    """Run ``command``, which answers at the address ``health`` once it is ready; ended with all it has started."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    try:
        while True:
            assert process.poll() is None, f"{command} ended before it was ready"
            try:
                httpx.get(health).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers are of its group
        process.wait()
