import json
import pickle
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ast2hf.sweep import naming
from ast2hf.sweep.callback import Sweep, combinations


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(naming, "axes", ["model"])
    sweep = Sweep()
    sweep.folder = tmp_path
    sweep.axes = ["model"]
    sweep.planned = [[f"model=m{number}", "device=cpu"] for number in range(12)]
    for number in (0, 2, 10):
        folder = tmp_path / f"{number}_ast_16_16"
        folder.mkdir()
        job = {"code": 0, "model": "m", "status": "passed", "number": number}
        if number != 2:
            (folder / "job.json").write_text(json.dumps(job))
    return sweep


def test_jobs_are_in_order_and_a_lost_one_is_reported(sweep):
    jobs = list(sweep.jobs())
    assert [job.number for job in jobs] == list(range(12))
    assert [job.number for job in jobs if job.status == "passed"] == [0, 10]
    began, never = jobs[2], jobs[11]
    assert (began.status, never.status) == ("lost", "lost")
    assert began.code
    assert never.code
    assert began.error != never.error
    assert (never.model, never.overrides) == ("m11", ["model=m11"])


def test_a_job_gets_no_job_list_and_unpickling_has_no_side_effects(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(sweep)
    assert len(sent) < 1000
    monkeypatch.setattr(naming, "axes", [])
    copy = pickle.loads(sent)
    assert (copy.axes, copy.planned, copy.folder) == (["model"], [], tmp_path)
    assert Path.cwd() == tmp_path != sweep.working_directory
    assert (Sweep.active, naming.axes) == (None, [])


def test_relative_paths_mean_the_same_in_a_process_that_runs_a_job(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Sweep, "active", None)
    monkeypatch.setattr(naming, "axes", [])
    copy = pickle.loads(pickle.dumps(sweep))
    copy.on_job_start(config=None)
    assert Path.cwd() == sweep.working_directory != tmp_path
    assert (Sweep.active, naming.axes) == (copy, ["model"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=a,b", "device=cpu", "model.std=range(1,4)"],
        ["device=cpu", "+x=1,2", "device=auto,cpu"],
        ["model=choice(a,b)", "~y", "labels='a b','c,d'"],
    ],
)
def test_jobs_are_numbered_as_hydra_numbers_them(overrides):
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parsed = OverridesParser.create().parse_overrides(overrides)
    (expected,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    assert combinations(parsed) == [list(job) for job in expected]
