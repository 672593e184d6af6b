"""Options, marks and fixtures of all tests. It must stay light: every unit test imports it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from support import ROOT, http_server
from support.command_line import Cli
from support.models import TINY, TINY_OVERRIDES, VARIANTS, compose, geometry_of, model_of
from support.result import Result

__all__ = ["ROOT", "TINY", "TINY_OVERRIDES", "VARIANTS", "Cli", "Result", "compose", "geometry_of", "model_of"]

pytest_plugins = ["support.fault_table"]

CLOSED = "http://127.0.0.1:9"
"""Nothing listens there."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compat-python", help="the Python of an environment with transformers 4.57")
    parser.addoption("--kills", type=int, default=18, help="how often each signal ends a run (case 50)")
    parser.addoption("--kill-seed", default="0", help="of the moments at which it does")


def pytest_configure(config: pytest.Config) -> None:
    """No telemetry, no network, and no caches of the person who runs the tests.

    Before the tests are imported, because libraries read these variables when they are. Where several processes share
    the tests (pytest -n), each has caches of its own and computes on one core.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored for what it runs behind it
    caches = Path(tempfile.mkdtemp(prefix="ast2hf-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(caches, ignore_errors=True))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # one in small letters would win
    os.environ.update(
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="1",
        HF_HOME=str(caches / "hf"),
        AST2HF_CACHE=str(caches / "ast2hf"),
        HTTP_PROXY=CLOSED,
        HTTPS_PROXY=CLOSED,
        NO_PROXY="127.0.0.1,localhost",
        **({"OMP_NUM_THREADS": "1"} if hasattr(config, "workerinput") else {}),
    )


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes, which may hold the time, are not shown: the processes that share the tests must agree on their names."""
    return argname if isinstance(val, bytes) else None


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.pluginmanager.has_plugin("terminalreporter") and not sys.stdout.isatty():
        session.config.get_terminal_writer().fullwidth = 300  # else the reason of a failure ends after 80 characters


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "long" not in item.keywords)  # so that no process is left alone with one at the end
    for mark, (possible, reason) in {
        "gpu": (_has_gpu, "no CUDA and no MPS device here"),
        "browser": (_has_browser, "no Chromium here; make browser installs it on Debian"),
        "server": (_has_server, "no PostgreSQL, moto or psycopg2 here; make server installs them on Debian"),
        "compat": (lambda: config.getoption("--compat-python"), "run by make compat, in a second environment"),
    }.items():
        marked = [item for item in items if mark in item.keywords]
        if marked and not possible():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _has_browser() -> bool:
    from support import browser

    return browser.EXECUTABLE is not None


def _has_server() -> bool:
    from support import postgresql

    return postgresql.POSSIBLE


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of TINY as the authors' code saves it, seed 1."""
    from ast2hf.checkpoint import synthetic
    from ast2hf.families.ast import AST

    path = tmp_path / "tiny.pth"
    synthetic.write(path, AST, TINY, 1)
    return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli.make(tmp_path)


@pytest.fixture
def free_port() -> int:
    return http_server.free_port()
