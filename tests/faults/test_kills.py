"""Case 50: a run is ended at any moment, and the folder is the old one, the new one, or absent; never a mixture."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TINY, TINY_OVERRIDES, Cli

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import names
from ast2hf.output.up_to_date import file_hashes

ENDS = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130, -2}}
"""Exit codes; the negative ones are those of a process that the signal itself has ended, which a shell shows alike."""


MOMENTS = ((None, None), ("", None), ("README.md", 0.1))
"""A run is ended at any time in it, or after it has a staging folder, or within so many seconds of its last file."""


def content(folder: Path) -> dict[str, bytes] | None:
    return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else None


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob(".*"))


@dataclass(frozen=True)
class Scene:
    """Two checkpoints, one name: each run replaces the model of the one by that of the other."""

    cli: Cli
    checkpoints: list[Path]

    @property
    def target(self) -> Path:
        return self.cli.model_folder()

    def arguments(self, number: int) -> list[str]:
        return ["experiment=offline", "tracking=off", *TINY_OVERRIDES, "overwrite=true",
                f"checkpoint={self.checkpoints[number]}"]  # fmt: skip

    def staged(self, name: str) -> bool:
        """Is there a file of this name in a staging folder? Asked thousands of times in a second."""
        try:
            return any(
                entry.name.endswith(".staging") and os.path.exists(f"{entry.path}/{name}")  # noqa: PTH110
                for entry in os.scandir(self.target.parent)
            )
        except FileNotFoundError:
            return False


@pytest.fixture
def scene(cli, tmp_path):
    checkpoints = [tmp_path / "one.pth", tmp_path / "two.pth"]
    for seed, path in enumerate(checkpoints):
        synthetic.write(path, AST, TINY, seed)
    return Scene(cli, checkpoints)


def test_a_command_can_be_ended_as_soon_as_its_process_id_is_known(cli):
    for _ in range(20):
        command = cli.start("--version")
        with suppress(ProcessLookupError):
            os.kill(command.pid, signal.SIGKILL)
        assert command.wait().code in {0, -9}


@pytest.mark.long
@pytest.mark.fault(50, "SIGKILL, SIGTERM and SIGINT at random moments")
@pytest.mark.parametrize("number", ENDS, ids=lambda n: n.name)
def test_a_run_that_is_ended_leaves_the_old_folder_or_the_new_one_or_none(scene, number, request, came_out):
    seed, times = request.config.getoption("--kill-seed"), request.config.getoption("--kills")
    moments = random.Random(f"{seed} {number}")
    weights, lasting = [], 0.0
    for which in (0, 1, 0):
        start = time.perf_counter()
        assert scene.cli(*scene.arguments(which)).code == 0
        lasting = time.perf_counter() - start
        weights.append(content(scene.target)["model.safetensors"])
    found = Counter()
    for turn in range(times):
        if turn % 4 == 3:
            shutil.rmtree(scene.target)
        before = content(scene.target)
        command = scene.cli.start(*scene.arguments(1))
        started = time.perf_counter()
        awaited, during = MOMENTS[turn % len(MOMENTS)]
        while awaited is not None and not scene.staged(awaited) and command.is_running():
            time.sleep(0.0002)  # a core to itself would slow the run
        rest = lasting - (time.perf_counter() - started)
        time.sleep(moments.uniform(0, max(0, during or rest)))
        with suppress(ProcessLookupError):  # it was faster
            os.kill(command.pid, number)
        result = command.wait()
        assert result.code in ENDS[number] | {0}, result.err
        assert "Traceback" not in result.err, result.err

        after = content(scene.target)
        if after is None:
            found["absent"] += 1
            assert before is None or number == signal.SIGKILL
        elif after == before:
            found["old"] += 1
        else:
            found["new"] += 1
            assert after["model.safetensors"] == weights[1]
            assert json.loads(after["conversion_report.json"])["files"] == file_hashes(scene.target, names.MODEL_FILES)
            assert len(after) == 5
        left = hidden(scene.target.parent) if scene.target.parent.exists() else []
        found["with leftovers"] += bool(left)
        found["while replacing"] += any(name.endswith(".previous") for name in left)
        assert number == signal.SIGKILL or not left

        assert scene.cli(*scene.arguments(0)).code == 0
        assert content(scene.target)["model.safetensors"] == weights[0]
        assert hidden(scene.target.parent) == []
        found["whole after the next run"] += 1
    found = {what: count for what, count in found.items() if count}
    print(number.name, found)
    came_out(**{f"after {times} {number.name}": found})
