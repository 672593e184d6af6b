"""Cases 47 to 55: output and disk."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import TINY_OVERRIDES

PAGE = 4096
"""Bytes of a block of a tmpfs, which is a page of memory."""


@dataclass(frozen=True)
class Disk:
    """A small file system of its own."""

    folder: Path

    def leave(self, blocks: int) -> None:
        """Fill it up to these."""
        (self.folder / "ballast").unlink(missing_ok=True)
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (os.statvfs(self.folder).f_bavail - blocks) * PAGE)

    def empty(self) -> None:
        for path in self.folder.iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path)

    def mount(self, *options: str) -> None:
        done = subprocess.run(["mount", *options, self.folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs the right to mount a file system ({done.stderr.strip()})")


@pytest.fixture
def disk(tmp_path):
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    disk = Disk(tmp_path / "disk")
    disk.folder.mkdir()
    disk.mount("-t", "tmpfs", "-o", "size=16M", "tmpfs")
    yield disk
    subprocess.run(["umount", disk.folder], check=True)


def tiny(checkpoint) -> list[str]:
    return ["experiment=offline", "tracking=off", *TINY_OVERRIDES, f"checkpoint={checkpoint}"]


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512 // PAGE


ORDER = ("model.safetensors", "config.json", "preprocessor_config.json", "conversion_report.json", "README.md")
"""As they are written."""


@pytest.mark.fault(47, "a disk that is full at each of the files written")
def test_a_disk_that_is_full_at_each_file_of_the_model(cli, disk, tiny_checkpoint, came_out):
    target = disk.folder / "model"
    arguments = [*tiny(tiny_checkpoint), f"output_dir={target}"]
    assert cli(*arguments).code == 0
    sizes = [1, *(blocks(target / name) for name in ORDER)]
    for number, name in enumerate(("model", *ORDER)):  # the first is the lock, one block
        disk.empty()
        disk.leave(sum(sizes[:number]))
        result = cli(*arguments)
        assert result.code == 6
        assert f"{name} cannot be written (No space left on device); free some space" in result.error_line
        assert os.listdir(disk.folder) == ["ballast"]
    came_out(result)
    assert [report["status"] for report in cli.run_reports()] == ["passed"] + ["failed"] * 6
    disk.leave(sum(sizes))
    assert cli(*arguments).code == 0
    assert sorted(os.listdir(disk.folder)) == ["ballast", "model"]


@pytest.mark.fault(47, "a disk that is full at each of the files written")
def test_a_disk_that_is_full_keeps_the_folder_that_is_to_be_replaced(cli, disk, tiny_checkpoint):
    target = disk.folder / "model"
    arguments = [*tiny(tiny_checkpoint), f"output_dir={target}", "overwrite=true"]
    assert cli(*arguments).code == 0
    before = {path: path.read_bytes() for path in target.iterdir()}
    disk.leave(20)
    assert "No space left" in cli(*arguments).error_line
    assert {path: path.read_bytes() for path in target.iterdir()} == before
    assert sorted(os.listdir(disk.folder)) == ["ballast", "model"]


@pytest.mark.fault(47, "a disk that is full at each of the files written")
def test_a_disk_that_is_full_of_the_synthetic_checkpoint(cli, disk):
    disk.leave(100)
    result = cli(*tiny("synthetic"), f"output_dir={disk.folder / 'model'}")
    assert result.code == 6
    assert "the synthetic checkpoint cannot be written" in result.error_line
    assert os.listdir(disk.folder) == ["ballast"]


@pytest.mark.fault(47, "a disk that is full at each of the files written")
def test_a_disk_that_is_full_for_the_folder_of_the_run(cli, disk, tiny_checkpoint):
    """Without the folder, no run. With it, what is missing of its log and report costs no model."""
    found = []
    for room in range(16):
        disk.leave(room)
        result = cli(*tiny(tiny_checkpoint), f"paths.outputs={disk.folder / 'outputs'}", "output_dir=model")
        if result.code:
            assert result.code == 6
            assert "the run folder cannot be written" in result.error_line
            assert not (cli.folder / "model").exists()
            found.append("refused")
        else:
            assert "Traceback" not in result.err
            assert "Logging error" not in result.err
            shutil.rmtree(cli.folder / "model")
            found.append("noted" if "conversion_report.json cannot be written (No space" in result.out else "whole")
        shutil.rmtree(disk.folder / "outputs", ignore_errors=True)
    assert list(dict.fromkeys(found)) == ["refused", "noted", "whole"], found
    assert found == sorted(found, key=["refused", "noted", "whole"].index)


@pytest.mark.fault(47, "a disk that is full at each of the files written")
def test_a_disk_that_is_full_for_the_record(cli, disk, tiny_checkpoint):
    """The page is written, or not; the store has no room."""
    for room, what in ((12, "report.html cannot be written"), (60, "not recorded")):
        disk.leave(room)
        outputs = f"paths.outputs={disk.folder / 'outputs'}"
        result = cli(*tiny(tiny_checkpoint), "tracking=mlflow", outputs, "output_dir=model", "overwrite=true")
        assert result.code == 0, result.err
        assert what in result.out
        assert "Traceback" not in result.err
        shutil.rmtree(disk.folder / "outputs")


@pytest.mark.fault(47, "a disk that is full at each of the files written")
def test_a_disk_that_is_full_in_a_sweep(cli, disk, tiny_checkpoint):
    disk.leave(0)
    result = cli(*tiny(tiny_checkpoint), "-m", "model.mean=1,2", f"paths.outputs={disk.folder / 'outputs'}")
    assert result.code == 6
    assert "cannot be written" in result.error_line


def limited(cli, checkpoint, size: int):
    """Without the right to larger files, as after ``ulimit -f``."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        return cli.cold(*tiny(checkpoint))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault(48, "ulimit -f below the size of the weights")
def test_a_limit_on_the_size_of_files(cli, tiny_checkpoint, came_out):
    for checkpoint, what in (
        (tiny_checkpoint, "model.safetensors cannot be written"),
        ("synthetic", "the synthetic checkpoint"),
    ):
        result = limited(cli, checkpoint, 100 << 10)
        assert result.code == 6, result.err
        assert what in result.error_line
        assert "ulimit -f" in result.error_line
        if checkpoint == tiny_checkpoint:
            came_out(result)
    assert os.listdir(cli.outputs / "models") == []


@pytest.mark.fault(49, "a parent on a read-only file system")
def test_a_parent_that_is_read_only_is_refused_before_anything_is_loaded(cli, disk, tiny_checkpoint, came_out):
    disk.mount("-o", "remount,ro")
    result = cli.tiny(f"checkpoint={tiny_checkpoint}", f"output_dir={disk.folder / 'a' / 'model'}")
    came_out(result)
    assert result.code == 6
    assert "is not a folder that you may write to" in result.error_line
    assert "Import torch" not in result.err
    result = cli.tiny(f"checkpoint={tiny_checkpoint}", f"paths.outputs={disk.folder / 'outputs'}", "output_dir=model")
    assert result.code == 6
    assert "the run folder cannot be written" in result.error_line
    assert not (cli.folder / "model").exists()


@pytest.mark.parametrize("setting", ["paths.outputs=/proc/none", f"model.name={'a' * 300}"])
def test_a_run_folder_that_cannot_be_made_is_one_line_with_a_remedy(cli, setting):
    result = cli.tiny(setting)
    assert result.code == 6
    assert result.error_line.startswith("error: the run folder cannot be written (")
    assert result.error_line.endswith("; set paths.outputs=… to another folder")
    assert "Traceback" not in result.err


@pytest.mark.parametrize("task", ["task=verify", "task=restore"])
def test_a_folder_that_may_not_be_looked_into_does_not_exist_for_us(cli, task, tiny_checkpoint):
    """A name that is too long raises the error in the same places, and for root, too."""
    checkpoint = tiny_checkpoint if task == "task=verify" else f"{'b' * 300}.pth"
    result = cli.tiny(task, f"folder={cli.folder / ('a' * 300)}", f"checkpoint={checkpoint}")
    assert result.code == 3
    assert "does not exist; set folder=… to a model folder" in result.error_line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.fault(49, "a parent on a read-only file system")
def test_a_parent_without_the_right_to_write(cli):
    (cli.folder / "mine").mkdir(mode=0o555)
    result = cli.tiny("output_dir=mine/model")
    assert result.code == 6
    assert "is not a folder that you may write to" in result.error_line


def old_folder(path):
    path.mkdir(parents=True)
    (path / "pytorch_model.bin").write_text("old")


def old_link(path):
    old_folder(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


def old_file(path):
    path.parent.mkdir(parents=True)
    path.write_text("old")


def dangling_link(path):
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")


@pytest.mark.fault(51, "a folder, a link, a file or a dangling link at output_dir")
@pytest.mark.parametrize("make", [old_folder, old_link, old_file, dangling_link])
def test_an_existing_target_is_refused_or_replaced_entirely(cli, tiny_checkpoint, make, came_out):
    target = cli.model_folder()
    make(target)
    result = cli(*tiny(tiny_checkpoint))
    came_out(result)
    assert result.code == 6
    assert "already exists; set another output_dir=…, or overwrite=true" in result.error_line
    assert cli(*tiny(tiny_checkpoint), "overwrite=true").code == 0
    assert sorted(os.listdir(target)) == sorted(ORDER)
    assert not target.is_symlink()
    assert sorted(os.listdir(target.parent)) == [target.name] + ["elsewhere"] * (make is old_link)
    if make is old_link:
        assert os.listdir(target.parent / "elsewhere") == ["pytorch_model.bin"]


@pytest.mark.fault(52, "umask 077 and 002")
@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_modes_follow_the_umask(cli, tiny_checkpoint, umask, came_out):
    before = os.umask(umask)
    try:
        result = cli.cold(*tiny(tiny_checkpoint))
    finally:
        os.umask(before)
    assert result.code == 0, result.err
    modes = {stat.S_IMODE(path.stat().st_mode) for path in cli.model_folder().iterdir()}
    assert modes == {0o666 & ~umask}
    folder = stat.S_IMODE(cli.model_folder().stat().st_mode)
    assert folder == 0o777 & ~umask
    came_out(result, files=[f"{mode:o}" for mode in modes], folder=f"{folder:o}")


@pytest.mark.fault(53, "a layer norm epsilon that fails the proof")
def test_a_failed_proof_publishes_nothing_and_keeps_the_report(cli, tiny_checkpoint, came_out):
    result = cli.tiny(f"checkpoint={tiny_checkpoint}", "model.layer_norm_eps=1e-12")
    came_out(result)
    assert result.code == 5
    assert "over the tolerance" in result.error_line
    assert os.listdir(cli.outputs / "models") == []
    (report,) = cli.run_reports()
    assert report["status"] == "failed"
    failed = report["checks"]["last_hidden_state"]
    assert failed["measured"]["max_abs_diff"] > failed["tolerance"]["atol"]


@pytest.mark.fault(54, "the same input twice")
def test_the_same_input_gives_the_same_bytes(cli, came_out):
    written = []
    for _ in range(2):
        result = cli.tiny("overwrite=true")
        assert result.code == 0, result.err
        written.append((cli.model_folder() / "model.safetensors").read_bytes())
    assert written[0] == written[1]
    came_out(result, identical_bytes=written[0] == written[1])


@pytest.mark.fault(55, "TMPDIR on another device")
def test_a_temporary_folder_on_another_device_is_not_used(cli, disk, came_out):
    assert disk.folder.stat().st_dev != cli.folder.stat().st_dev
    disk.leave(0)
    result = cli.cold(*tiny("synthetic"), TMPDIR=str(disk.folder))
    assert result.code == 0, result.err
    report = json.loads((cli.model_folder() / "conversion_report.json").read_text())
    assert report["status"] == "passed"
    came_out(result, proof=report["status"], bytes_free_in_TMPDIR=os.statvfs(disk.folder).f_bavail)
