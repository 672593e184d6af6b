"""Sweeps over several processes and nodes: the same table and the same record as in one process, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from conftest import ROOT, TINY, TINY_OVERRIDES, Result
from support import data_sets
from support.ray_cluster import ADDRESS, RAY, Cluster, end, family, possible, two_nodes
from test_sweep import SIZES, TINY_BINS, runs, table

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

pytestmark = pytest.mark.scale

MODELS = ("ast_10_10_0_450", "ast_12_12", "ast_14_14", "ast_16_16")
FOUR = ("-m", f"model={','.join(MODELS)}", "experiment=offline", *SIZES, TINY_BINS)


def check_whole(cli, result):
    """Four jobs passed, each once in the table and once in MLflow under one parent; their folders and no others."""
    assert result.code == 0, result.err
    assert "Sweep: 4 of 4 jobs passed" in result.out
    rows = table(cli)
    assert [(row["job"], row["status"]) for row in rows] == [(str(n), "passed") for n in range(4)]
    names = [row["model"] for row in rows]
    assert sorted(os.listdir(cli.outputs / "models")) == sorted(names)

    _, found = runs(cli)
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in found if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(run.data.tags["model"] for run in children) == sorted(names)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert parent.data.metrics == {"jobs": 4, "jobs.passed": 4}


def threads(cli):
    """What each job's log says of its threads."""
    logs = cli.outputs.glob("multiruns/*/*_ast_*/ast2hf.log")
    return [line.rpartition(" ")[2] for log in logs for line in log.read_text().splitlines() if "threads: " in line]


def wait(what: Callable[[], object], seconds: float = 180) -> object:
    """What ``what`` returns, once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def started(cli, *arguments: str, inside: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """A command that runs on. ``inside``: what goes before it."""
    return subprocess.Popen(
        [*inside, sys.executable, ROOT / "convert.py", *arguments],
        cwd=cli.folder,
        env={**cli.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def working(cli, among: Callable[[int], bool] = lambda _: True) -> list[int]:
    """The processes that have a job in hand: their log is open. Of those, the ones in ``among``."""
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _writes(p, cli) and among(int(p.name))]


def _writes(process: Path, cli) -> bool:
    try:
        files = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
    except OSError:
        return False
    return any(f.startswith(f"{cli.outputs}/multiruns/") and f.endswith("ast2hf.log") for f in files)


# --- joblib -----------------------------------------------------------------------------------------------------------


def test_joblib_with_four_processes_on_a_fresh_store(cli):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs pip install 'ast2hf[joblib]'")
    result = cli.cold(*FOUR, "scale=joblib", "hydra.launcher.n_jobs=4")
    check_whole(cli, result)
    assert threads(cli) == [str(max(1, len(os.sched_getaffinity(0)) // 4))] * 4


def test_a_killed_process_is_reported_and_leaves_nothing_half_written(cli):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs pip install 'ast2hf[joblib]'")
    sweep = started(cli, *FOUR, "scale=joblib", "hydra.launcher.n_jobs=2", "tracking=off")
    (victim, *_) = wait(lambda: working(cli))
    os.kill(victim, signal.SIGKILL)
    out, err = sweep.communicate(timeout=300)

    assert sweep.returncode == 1, err
    assert "error: the launcher gave up (TerminatedWorkerError" in err
    assert "Traceback" not in err
    rows = table(cli)
    assert len(rows) == 4
    assert "Sweep: " in out
    lost = [row for row in rows if row["status"] == "lost"]
    assert "interrupted, or its process was killed" in [row["error"] for row in lost]
    assert "not started" in [row["error"] for row in lost]
    published = {p.name for p in cli.outputs.glob("models/[!.]*")}
    assert published == {row["model"] for row in rows if row["status"] == "passed"}

    again = cli.cold(*FOUR, "scale=joblib", "hydra.launcher.n_jobs=2", "tracking=off", "skip_existing=true")
    assert again.code == 0, again.err
    assert "Sweep: 4 of 4 jobs passed" in again.out


def test_the_shards_of_a_data_set_make_the_figures_of_one_process(cli, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs pip install 'ast2hf[joblib]'")
    checkpoint = tmp_path / "tiny.pth"
    synthetic.write(checkpoint, AST, TINY, 1)
    data = data_sets.write(tmp_path / "sounds", 200, [f"LABEL_{n}" for n in range(TINY.num_labels)])
    own = ("experiment=offline", "tracking=off", *TINY_OVERRIDES, f"checkpoint={checkpoint}")
    made = cli(*own, "output_dir=model", "data=manifest", f"data.path={data}", f"paths.cache={tmp_path / 'whole'}")
    assert made.code == 0, made.err
    verify = (*own, "task=verify", "folder=model", "data=manifest", f"data.path={data}")
    shards = ("data.shards=3", "data.shard=range(3)", "scale=joblib", "hydra.launcher.n_jobs=2")
    swept = cli.cold("-m", *verify, *shards)
    assert swept.code == 0, swept.err
    assert "Sweep: 3 of 3 jobs passed" in swept.out
    assert cli(*verify).code == 0
    (whole, merged) = (report["evaluation"] for report in cli.run_reports())
    assert whole["clips_per_second"] > 0
    assert merged == {**whole, "clips_per_second": None}


# --- Slurm ------------------------------------------------------------------------------------------------------------


def test_slurm_local(cli):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs pip install 'ast2hf[slurm]'")
    check_whole(cli, cli.cold(*FOUR, "scale=slurm_local"))
    assert threads(cli) == ["1"] * 4


def test_the_loop_of_the_page_for_many_checkpoints(cli):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs pip install 'ast2hf[slurm]'")
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (loop,) = (block.removeprefix("bash") for block in page.split("```") if "split -l 500" in block)
    own = "model.frequency_stride=16 model.time_stride=16 model.max_length=64"
    for told, here in (
        ("split -l 500", "split -l 2"),
        ("    ast2hf ", f"    {sys.executable} {ROOT / 'convert.py'} "),
        ("scale=slurm", "scale=slurm_local"),
        ("/shared/ast2hf", "shared"),
        ("tracking.uri=http://tracking-host:5000", "audio=packaged tracking=off " + own),
    ):
        assert loop.count(told) == 1
        loop = loop.replace(told, here)
    (cli.folder / "labels.csv").write_text("index,mid,display_name\n" + "".join(f"{i},m{i},l{i}\n" for i in range(7)))
    names = ["a", "b", "c"]
    for seed, name in enumerate(names):
        synthetic.write(cli.folder / f"{name}.pth", AST, TINY, seed)
    (cli.folder / "checkpoints.txt").write_text("".join(f"{cli.folder / name}.pth\n" for name in names))
    done = subprocess.run(["bash", "-c", loop], cwd=cli.folder, env=cli.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Sweep: 2 of 2 jobs passed" in done.stdout
    assert "Sweep: 1 of 1 jobs passed" in done.stdout
    assert not (cli.folder / "unfinished").exists()
    folders = sorted(path.name for path in (cli.folder / "shared/models").iterdir())
    assert [folder.partition("-")[0] for folder in folders] == [f"custom_checkpoint={name}.pth" for name in names]


# --- Ray --------------------------------------------------------------------------------------------------------------


def test_ray_on_this_machine(cli):
    pytest.importorskip("ray", reason="needs pip install 'ast2hf[ray]': make ray")
    check_whole(cli, cli.cold(*FOUR, "scale=ray", **RAY))
    assert threads(cli) == ["1"] * 4


@pytest.fixture
def cluster(cli, tmp_path) -> Iterator[Cluster]:
    pytest.importorskip("ray", reason="needs pip install 'ast2hf[ray]': make ray")
    if not possible():
        pytest.skip("needs ip (iproute2) and the right to make a network namespace")
    with two_nodes({**cli.environment, **RAY}, tmp_path) as nodes:
        yield nodes


def at_work_on(cli, node: subprocess.Popen[bytes]) -> list[int]:
    return working(cli, lambda pid: pid in family(node.pid))


def test_ray_on_two_nodes(cli, cluster):
    sweep = started(cli, *FOUR, "scale=ray", inside=cluster.inside, RAY_ADDRESS=ADDRESS, **RAY)
    for node in (cluster.head, cluster.worker):
        wait(lambda node=node: at_work_on(cli, node))
    out, err = sweep.communicate(timeout=300)
    check_whole(cli, Result(sweep.returncode, out, err))


def test_jobs_of_a_ray_node_that_dies_are_run_on_another(cli, cluster):
    sweep = started(cli, *FOUR, "scale=ray", inside=cluster.inside, RAY_ADDRESS=ADDRESS, **RAY)
    wait(lambda: at_work_on(cli, cluster.worker))
    end(cluster.worker)
    out, err = sweep.communicate(timeout=400)
    result = Result(sweep.returncode, out, err)
    check_whole(cli, result)  # what the dead job had in hand went with the next one
    assert len(list(cli.outputs.glob("models/*/conversion_report.json"))) == 4


def test_jobs_of_a_dead_ray_node_are_reported_without_retries(cli, cluster):
    once = "hydra.launcher.ray.remote.max_retries=0"
    sweep = started(cli, *FOUR, "scale=ray", once, inside=cluster.inside, RAY_ADDRESS=ADDRESS, **RAY)
    wait(lambda: at_work_on(cli, cluster.worker))
    end(cluster.worker)
    _, err = sweep.communicate(timeout=400)
    assert sweep.returncode == 1, err
    assert "error: the launcher gave up (" in err
    assert "Traceback" not in err
    rows = table(cli)
    assert len(rows) == 4
    assert "interrupted, or its process was killed" in [row["error"] for row in rows]
    published = {p.name for p in cli.outputs.glob("models/[!.]*")}
    assert published >= {row["model"] for row in rows if row["status"] == "passed"}
    assert all((cli.outputs / "models" / name / "conversion_report.json").exists() for name in published)
