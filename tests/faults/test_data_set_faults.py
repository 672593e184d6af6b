"""Cases 140 to 148: a proof over a data set that is stopped, killed, short of disk or memory, or of broken clips."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from conftest import TINY, TINY_OVERRIDES, Cli
from support.conversions import attempted
from support.data_sets import write
from support.models import compose
from test_output import disk  # noqa: F401

from ast2hf.checkpoint import synthetic
from ast2hf.errors import ConfigurationError
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import loading

CLIPS = 300
LABELS = [f"LABEL_{number}" for number in range(TINY.num_labels)]


@dataclass(frozen=True)
class Scene:
    """A tiny checkpoint and a data set of five parts."""

    cli: Cli
    folder: Path

    @property
    def arguments(self) -> list[str]:
        return [
            "experiment=offline", "tracking=off", *TINY_OVERRIDES, f"checkpoint={self.folder / 'tiny.pth'}",
            "overwrite=true", "data=manifest", f"data.path={self.folder / 'sounds/eval.json'}", "data.workers=0",
        ]  # fmt: skip

    def parts(self, cache: Path | None = None) -> dict[str, int]:
        """The files of the parts that are done, and when they were written."""
        paths = (cache or self.cli.folder.parent / "cache").glob("evaluations/*/part-*.npz")
        return {path.name: path.stat().st_mtime_ns for path in paths}

    def start(self, *arguments: str):
        """A command that has done a part."""
        command = self.cli.start(*self.arguments, *arguments)
        wait(lambda: self.parts() or not command.is_running())
        return command


def wait(what, seconds: float = 120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    synthetic.write(folder / "tiny.pth", AST, TINY, 1)
    write(folder / "sounds", CLIPS, LABELS)
    return folder


@pytest.fixture
def scene(cli, sounds):
    return Scene(cli, sounds)


def parents() -> dict[int, int]:
    """Of all processes, by their ids."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                found[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def below(pid: int) -> list[int]:
    """The processes that ``pid`` has begun, and those that these have."""
    known = parents()
    found = [pid]
    for parent in found:
        found += [child for child, own in known.items() if own == parent]
    return found[1:]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.fault(131, "Ctrl-C in the middle of a data set, and the command again")
def test_an_interrupted_pass_goes_on_where_it_was(scene, came_out):
    command = scene.start()
    os.kill(command.pid, signal.SIGINT)
    stopped = command.wait()
    assert stopped.code == 130, stopped.err
    assert not scene.cli.model_folder().exists()
    before = scene.parts()
    assert 0 < len(before) < 5
    again = scene.cli(*scene.arguments)
    assert again.code == 0, again.err
    after = scene.parts()
    assert len(after) == 5
    assert {name: after[name] for name in before} == before
    came_out(again, parts_kept=len(before), parts_in_the_end=len(after))


@pytest.mark.fault(132, "a process that decodes clips is killed")
def test_a_killed_worker_is_told_and_done_parts_stay(scene, came_out):
    command = scene.start("data.workers=2")
    victim = max(below(command.pid))
    os.kill(victim, signal.SIGKILL)
    result = command.wait()
    assert result.code == 3, result.err
    assert "a process that decodes clips was killed" in result.error_line
    assert "data.workers=1" in result.error_line
    assert scene.parts()
    assert not scene.cli.model_folder().exists()
    came_out(result)


@pytest.mark.fault(133, "SIGTERM, SIGINT or SIGKILL, while processes decode clips")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_is_left(scene, number, code, came_out):
    command = scene.start("data.workers=2")
    begun = below(command.pid)
    assert len(begun) >= 2
    os.kill(command.pid, number)
    result = command.wait()
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    wait(lambda: not any(map(running, begun)))
    came_out(exit_code=result.code, processes_left=sum(map(running, begun)))


@pytest.mark.fault(134, "a disk that is full in the middle of a data set, and the command again")
def test_a_full_disk_keeps_what_is_done(scene, disk, came_out):  # noqa: F811
    disk.leave(8)
    cache = f"paths.cache={disk.folder}"
    result = scene.cli(*scene.arguments, cache)
    assert result.code == 6, result.err
    assert "parts of the data set cannot be saved" in result.error_line
    before = scene.parts(disk.folder)
    assert 0 < len(before) < 5
    assert not list(disk.folder.glob("evaluations/*/*.tmp"))
    disk.leave(100)
    again = scene.cli(*scene.arguments, cache)
    assert again.code == 0, again.err
    after = scene.parts(disk.folder)
    assert {name: after[name] for name in before} == before
    came_out(result, parts_kept=len(before))


@pytest.mark.fault(135, "more broken and missing clips than data.max_skipped")
def test_too_many_broken_clips(cli, tmp_path, came_out):
    path = write(tmp_path / "sounds", 20, LABELS)
    (path.parent / "clip003.wav").write_bytes(b"RIFF")
    (path.parent / "clip007.wav").unlink()
    arguments = ["checkpoint=synthetic:1", "data=manifest", f"data.path={path}"]
    result = cli.tiny(*arguments)
    assert result.code == 3, result.err
    assert "2 of 20 clips cannot be read" in result.error_line
    assert "the first: clip clip003.wav" in result.error_line
    assert not cli.model_folder().exists()
    allowed = cli.tiny(*arguments, "data.max_skipped=0.1")
    assert allowed.code == 0, allowed.err
    skipped = cli.run_reports()[-1]["evaluation"]["skipped"]
    assert sorted(skipped) == ["clip003.wav", "clip007.wav"]
    assert str(tmp_path) not in str(skipped)
    came_out(result)


def settings(cli, sounds, *overrides):
    return compose(
        "experiment=offline", "tracking=off", *TINY_OVERRIDES, f"checkpoint={sounds / 'tiny.pth'}",
        f"output_dir={cli.folder / 'model'}", f"paths.cache={cli.folder / 'cache'}", "data=manifest",
        f"data.path={sounds / 'sounds/eval.json'}", "data.workers=0", *overrides,
    )  # fmt: skip


@pytest.mark.fault(136, "a batch that memory does not suffice for")
def test_too_large_a_batch(cli, sounds, monkeypatch, came_out):
    monkeypatch.setattr(loading.HuggingFaceModel, "logits", lambda *_: torch.empty(1 << 50))
    conversion, error = attempted(settings(cli, sounds, "data.batch_size=32"))
    assert isinstance(error, ConfigurationError)
    assert "set data.batch_size=16" in str(error)
    assert conversion.folder is None
    assert not (cli.folder / "model").exists()
    came_out(error)


@pytest.mark.fault(137, "a part of a data set that was damaged since")
def test_a_damaged_part_is_done_again(scene, came_out):
    assert scene.cli(*scene.arguments).code == 0
    before = scene.parts()
    (path,) = scene.cli.folder.parent.glob("cache/evaluations/*/part-000002.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    again = scene.cli(*scene.arguments)
    assert again.code == 0, again.err
    after = scene.parts()
    redone = [name for name in after if after[name] != before[name]]
    assert redone == ["part-000002.npz"]
    first, second = (report["evaluation"] for report in scene.cli.run_reports())
    assert {**first, "clips_per_second": None} == {**second, "clips_per_second": None}
    came_out(again, done_again=redone)


@pytest.mark.fault(138, "a shard of a data set whose job was lost")
def test_a_lost_shard_is_missed_and_can_be_made_up_for(scene, came_out):
    made = scene.cli("output_dir=model", *(a for a in scene.arguments if not a.startswith("data")))
    assert made.code == 0, made.err
    verify = ["task=verify", "folder=model", *(a for a in scene.arguments if a != "overwrite=true")]
    assert scene.cli(*verify, "data.shards=2", "data.shard=1").code == 0
    checks = [report["checks"]["data_set"] for report in scene.cli.run_reports()]
    assert (checks[-1]["status"], checks[-1]["reason"]) == ("not_checked", "shard 2 of 2: 2 of 5 parts are done")
    result = scene.cli(*verify)
    assert result.code == 0, result.err
    report = scene.cli.run_reports()[-1]
    assert (report["checks"]["data_set"]["status"], report["evaluation"]["clips"]) == ("passed", CLIPS)
    came_out(reason=checks[-1]["reason"], without_shards=report["checks"]["data_set"]["status"])


@pytest.mark.fault(139, "labels that the model does not have, beside a long conversion")
def test_wrong_labels_cost_no_conversion(cli, tmp_path, came_out):
    path = write(tmp_path / "sounds", 5, ["dog", "cat"])
    result = cli.tiny("checkpoint=synthetic:1", "data=manifest", f"data.path={path}")
    assert result.code == 3, result.err
    assert "dog" in result.error_line
    assert "Write " not in result.err
    came_out(result)
