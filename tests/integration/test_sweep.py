"""Sweeps through the command line: one table, one parent run, nothing lost, nothing in each other's way."""

from __future__ import annotations

import csv
import json
import shutil

import mlflow
import pytest
from conftest import TINY_OVERRIDES

SIZES = [o for o in TINY_OVERRIDES if not o.startswith("model=")]
TINY_BINS = "model.num_mel_bins=32"


def table(cli):
    (path,) = cli.outputs.glob("multiruns/*/summary.csv")
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def runs(cli):
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{cli.outputs}/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "ast2hf")
    return client, client.search_runs([experiment.experiment_id])


def test_one_parent_run_with_a_child_per_variant_and_one_table(cli):
    result = cli("-m", "model=ast_12_12,ast_16_16", "experiment=offline", *SIZES, TINY_BINS)
    assert result.code == 0, result.err
    assert "Sweep: 2 of 2 jobs passed" in result.out

    rows = table(cli)
    assert [row["status"] for row in rows] == ["passed", "passed"]
    assert [row["model"] for row in rows] == [
        "ast-finetuned-audioset-12-12-0.447",
        "ast-finetuned-audioset-16-16-0.442",
    ]
    assert all(float(row["logits"]) <= float(row["logits tolerance"]) for row in rows)

    client, found = runs(cli)
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in found if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(run.data.tags["model"] for run in children) == [row["model"] for row in rows]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert parent.data.metrics == {"jobs": 2, "jobs.passed": 2}
    assert sorted(a.path for a in client.list_artifacts(parent.info.run_id)) == ["summary.csv", "summary.html"]


def test_a_failed_job_is_told_in_the_table_its_log_and_the_exit_code(cli):
    result = cli.tiny("-m", "model.layer_norm_eps=1e-12,1e-6")
    assert result.code == 5
    failed, passed = table(cli)
    assert (failed["status"], passed["status"]) == ("failed", "passed")
    assert "first divergence: blocks.0" in failed["error"]
    (log,) = cli.outputs.glob("multiruns/*/0_*/ast2hf.log")
    assert "Traceback" in log.read_text()
    assert "Sweep: 1 of 2 jobs passed" in result.out


def test_a_job_with_a_wrong_value_does_not_stop_the_others(cli):
    result = cli.tiny("-m", "model.std=-1,4.5")
    assert result.code == 2
    assert [row["status"] for row in table(cli)] == ["failed", "passed"]


def test_other_axes_get_folders_of_their_own(cli, tiny_checkpoint):
    for name in ("one", "two"):
        (cli.folder / name).mkdir()
        shutil.copy(tiny_checkpoint, cli.folder / name / "a.pth")
    result = cli.tiny("-m", "checkpoint=one/a.pth,two/a.pth", "device=cpu,auto")
    assert result.code == 0, result.err
    names = sorted(p.name for p in (cli.outputs / "models").iterdir())
    assert len(names) == 4
    assert all(n.startswith("ast-finetuned-audioset-16-16-0.442_") and "checkpoint=a.pth-" in n for n in names)
    assert len({row["overrides"] for row in table(cli)}) == 4


@pytest.mark.parametrize("settings", [("output_dir=fixed",), ("model.name=foo", "-m", "model=ast_12_12,ast_16_16")])
def test_jobs_may_not_replace_each_other_s_folder(cli, settings):
    axis = () if "-m" in settings else ("-m", "checkpoint=synthetic:1,synthetic:2")
    offline = ("experiment=offline", "tracking=off", *(TINY_OVERRIDES if axis else SIZES))
    result = cli(*offline, "overwrite=true", *settings, *axis)
    assert result.code == 2
    assert f"error: {settings[0].partition('=')[0]} is the same for all jobs of the sweep" in result.err
    assert not (cli.folder / "fixed").exists()
    assert not (cli.outputs / "models").exists()


def test_each_job_computes_with_its_own_number_of_threads(cli):
    result = cli.tiny("-m", "threads=1,3")
    assert result.code == 0, result.err
    for number, count in enumerate((1, 3)):
        (log,) = cli.outputs.glob(f"multiruns/*/{number}_*/ast2hf.log")
        assert f"threads: {count}\n" in log.read_text()


def test_a_glob_that_matches_nothing_is_an_error(cli):
    result = cli("experiment=offline", "tracking=off", "-m", "model=glob(nothing*)")
    assert result.code == 2
    assert "the sweep has no jobs" in result.error_line


def test_a_glob_over_files_is_told_how_to_list_them(cli, tiny_checkpoint):
    shutil.copy(tiny_checkpoint, cli.folder / "a.pth")
    result = cli("experiment=offline", "tracking=off", "-m", "checkpoint=glob(*.pth)")
    assert result.code == 2
    assert result.error_line == (
        "error: the sweep has no jobs, because checkpoint=glob(…) does not look for files; "
        'list the files: -m "checkpoint=$(ls *.pth | paste -sd,)"'
    )


def test_an_interrupted_sweep_goes_on_where_it_stopped(cli):
    sweep = ("-m", "model=ast_12_12,ast_16_16", *SIZES, TINY_BINS, "experiment=offline", "tracking=off")
    first, second = "ast-finetuned-audioset-12-12-0.447", "ast-finetuned-audioset-16-16-0.442"
    assert cli(*sweep).code == 0
    shutil.rmtree(cli.model_folder(second))
    before = (cli.model_folder(first) / "conversion_report.json").read_bytes()
    shutil.rmtree(cli.outputs / "multiruns")

    result = cli(*sweep, "skip_existing=true")
    assert result.code == 0, result.err
    assert [row["status"] for row in table(cli)] == ["skipped", "passed"]
    assert "skipped: the folder is already up to date" in result.out
    assert (cli.model_folder(first) / "conversion_report.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("checkpoint=synthetic:1", "it was made from another checkpoint"),
        ("model.std=4.0", "it was made with another configuration"),
        ("flip", "its files have changed"),
        ("no report", "it has no readable report"),
        ("not proved", "it was not proved"),
    ],
)
def test_skip_existing_converts_again_where_the_folder_differs(cli, change, why):
    assert cli.tiny().code == 0
    report = cli.model_folder() / "conversion_report.json"
    weights = cli.model_folder() / "model.safetensors"
    match change:
        case "flip":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
        case "no report":
            report.unlink()
        case "not proved":
            report.write_text(json.dumps({**json.loads(report.read_text()), "status": "failed"}))
    override = [change] if "=" in change else []
    result = cli.tiny("skip_existing=true", *override)
    assert result.code == 6
    assert "exists" in result.error_line
    result = cli.tiny("skip_existing=true", "overwrite=true", *override)
    assert result.code == 0, result.err
    assert f"not skipped: {why}" in result.out
