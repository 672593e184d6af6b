"""What a person sees in the MLflow UI after a sweep: a real server, a real browser."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import mlflow
import pytest
from conftest import Cli
from support import browser

pytestmark = pytest.mark.browser

START = 120
"""Seconds that a server may take to answer for the first time."""


@dataclass(frozen=True)
class Ui:
    """A running UI, its store, and the runs of one sweep in it."""

    address: str
    experiment: str
    parent: mlflow.entities.Run
    children: list[mlflow.entities.Run]
    outputs: Path

    def page(self, *parts: str) -> str:
        return "/".join([f"{self.address}/#/experiments/{self.experiment}", *parts])


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """One sweep for all tests here, of a variant that passes and the same with an epsilon that fails."""
    cli = Cli.make(tmp_path_factory.mktemp("ui"))
    result = cli.tiny("-m", "tracking=mlflow", "model.layer_norm_eps=1e-6,1e-12")
    assert result.code == 5, result.err
    store = f"sqlite:///{cli.outputs}/mlflow.db"
    client = mlflow.MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("ast2hf").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    with served(store, cli.folder) as address:
        yield Ui(address, experiment, parent, [run for run in runs if run is not parent], cli.outputs)


@contextlib.contextmanager
def served(store: str, folder: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=(folder / "server.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a group of its own, so that its workers end with it
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START
        while True:
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end, (folder / "server.log").read_text()
            with contextlib.suppress(OSError), urlopen(f"{address}/health", timeout=5):
                break
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def names(runs):
    return {run.info.run_name for run in runs}


def test_the_ui_lists_the_parent_and_on_its_page_the_children(ui, tmp_path):
    assert len(ui.children) == 2
    assert ui.parent.info.run_name in browser.dom(ui.page("runs"), tmp_path / "list")
    shown = browser.dom(ui.page("runs", ui.parent.info.run_id), tmp_path / "parent")
    assert "Child runs" in shown
    for name in names(ui.children):
        assert name in shown


def test_the_ui_shows_the_report_and_the_table_inline(ui, tmp_path):
    for run, name in ((ui.children[0], "report.html"), (ui.parent, "summary.html")):
        shown = browser.dom(ui.page("runs", run.info.run_id, "artifacts", name), tmp_path / name)
        (frame,) = re.findall("<iframe[^>]*>", shown)
        assert 'src="blob:' in frame


def test_the_report_shows_the_verdict_also_at_the_width_of_a_phone(ui, tmp_path):
    for number, run in enumerate(ui.children):
        (logged,) = ui.outputs.glob(f"mlartifacts/{run.info.run_id}/artifacts/report.html")
        shown = browser.dom(logged.as_uri(), tmp_path / "dom")
        verdict = "passed" if run.info.status == "FINISHED" else "failed"
        assert f"<b>{verdict}</b>" in shown
        assert shown.count("<svg") == 3
        phone = "--window-size=390,2000"
        picture = browser.screenshot(logged.as_uri(), tmp_path / f"{number}.png", tmp_path / f"p{number}", phone)
        assert picture.stat().st_size > 20_000, "a page that is not blank"
    assert {run.info.status for run in ui.children} == {"FINISHED", "FAILED"}
