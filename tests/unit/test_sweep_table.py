import json
import pickle
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from ast2hf.cli import hydra_errors
from ast2hf.report import sweep_table
from ast2hf.sweep import Job, Sweep, _short


@pytest.mark.parametrize(
    ("override", "expected"),
    [("device=cpu", "device=cpu"), ("model.layer_norm_eps=1e-06", "model.layer_norm_eps=1e-06")],
)
def test_plain_values_stand_in_the_name(override, expected):
    assert _short(override) == expected


def test_values_that_lose_something_are_told_apart():
    one, two = _short("checkpoint=one/a.pth"), _short("checkpoint=two/a.pth")
    assert one != two
    assert one.startswith("checkpoint=a.pth-")
    assert "/" not in _short("checkpoint='http://h/a b.pth?x=1'")


@pytest.fixture
def sweep(tmp_path):
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


def test_jobs_come_in_order_and_a_lost_one_is_told(sweep):
    jobs = list(sweep.jobs())
    assert [job.number for job in jobs] == list(range(12))
    assert [job.number for job in jobs if job.status == "passed"] == [0, 10]
    began, never = jobs[2], jobs[11]
    assert (began.status, never.status) == ("lost", "lost")
    assert began.code
    assert never.code
    assert began.error != never.error
    assert (never.model, never.overrides) == ("m11", ["model=m11"])


def test_a_job_gets_no_list_of_all_jobs_and_knows_the_schema(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(sweep)
    OmegaConf.clear_resolver("sweep_suffix")
    assert len(sent) < 1000
    copy = pickle.loads(sent)
    assert OmegaConf.has_resolver("sweep_suffix")
    assert (copy.axes, copy.planned, copy.folder) == (["model"], [], tmp_path)
    assert Path.cwd() == sweep.working_directory


@pytest.mark.parametrize(
    ("launcher", "line"),
    [
        ("joblib", "scale=joblib needs pip install 'ast2hf[joblib]'"),
        ("ray", "scale=ray needs pip install 'ast2hf[ray]'"),
        ("submitit_slurm", "scale=slurm needs pip install 'ast2hf[slurm]'"),
        ("submitit_local", "scale=slurm_local needs pip install 'ast2hf[slurm]'"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named(launcher, line):
    error = hydra_errors.explain(MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"]))
    assert str(error).startswith(line)
    assert error.exit_code == 2


def test_the_page_escapes_what_comes_from_outside(tmp_path):
    job = Job(5, "m", "failed", error="<script>alert(1)</script>\x1b[31m")
    table, page = sweep_table.write([job], tmp_path)
    assert "<script>" not in page.read_text()
    assert "\x1b" not in table.read_text()
    assert "http" not in page.read_text()
