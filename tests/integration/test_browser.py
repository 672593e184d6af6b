"""What a person sees in the MLflow UI after a sweep: a real server, a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from conftest import Cli
from support import browser
from support.mlflow_server import MlflowServer

from ast2hf.tracking import view

pytestmark = pytest.mark.browser


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
    with MlflowServer(cli.folder, store, str(cli.folder / "not asked for")) as server:
        yield Ui(server.url, experiment, parent, [run for run in runs if run is not parent], cli.outputs)


def names(runs):
    return {run.info.run_name for run in runs}


def test_the_ui_lists_the_parent_and_on_its_page_the_children(ui, tmp_path):
    assert len(ui.children) == 2
    assert ui.parent.info.run_name in browser.dom(ui.page("runs"), tmp_path / "list")
    shown = browser.dom(ui.page("runs", ui.parent.info.run_id), tmp_path / "parent")
    assert "Child runs" in shown
    for name in names(ui.children):
        assert name in shown


def test_the_list_opens_with_the_jobs_beside_each_other_and_the_figures_that_compare_them(ui, tmp_path):
    """By its printed address; as MLflow opens it, the jobs are folded into their sweep, and no column has a metric."""
    address = ui.page(f"runs?{view.QUERY}")
    shown = browser.dom(address, tmp_path / "list")
    for name in names(ui.children):
        assert name in shown
    for column in ("failed", "tolerance_used"):  # those beyond the window are not drawn
        assert f">{column}<" in shown
    assert "Error loading shared view state" not in shown
    assert browser.screenshot(address, tmp_path / "list.png", tmp_path / "picture").stat().st_size > 20_000


def test_a_run_begins_with_its_verdict_and_checks_and_leads_to_what_it_heard(ui, tmp_path):
    for run in ui.children:
        shown = browser.dom(ui.page("runs", run.info.run_id), tmp_path / run.info.run_id)
        assert f"<strong>{run.data.tags['status']}</strong>" in shown
        assert re.search(r"<t[dh][^>]*>all logits</t[dh]>", shown)
        assert "packaged (" in shown


def test_the_sweep_leads_to_each_of_its_runs(ui, tmp_path):
    shown = browser.dom(ui.page("runs", ui.parent.info.run_id), tmp_path / "sweep")
    for run in ui.children:
        assert f'href="#/experiments/{ui.experiment}/runs/{run.info.run_id}"' in shown


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
