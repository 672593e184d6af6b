"""Cases 56, 57 and 59: runs that meet."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from conftest import TINY_OVERRIDES


@pytest.fixture
def arguments(tiny_checkpoint):
    return ["experiment=offline", "tracking=off", *TINY_OVERRIDES, f"checkpoint={tiny_checkpoint}"]


@pytest.fixture
def halted(cli, arguments):
    """A run that has begun to write, and was stopped there."""
    command = cli.start(*arguments)
    while not list(cli.outputs.glob("models/.*.staging")):
        assert command.is_running()
    os.kill(command.pid, signal.SIGSTOP)
    yield command
    if command.is_running():
        os.kill(command.pid, signal.SIGKILL)


@pytest.mark.fault(56, "two runs with the same output_dir")
def test_one_of_two_runs_wins_and_the_other_names_it(cli, halted, arguments, came_out):
    result = cli(*arguments, "overwrite=true")
    assert result.code == 6
    holder = f"is being written by another run (process {halted.pid} on {socket.gethostname()}); wait for it to finish"
    assert holder in result.error_line
    assert "Import torch" not in result.err
    came_out(result)
    os.kill(halted.pid, signal.SIGCONT)
    result = halted.wait()
    assert result.code == 0, result.err
    assert os.listdir(cli.outputs / "models") == [cli.model_folder().name]


@pytest.mark.fault(56, "two runs with the same output_dir")
def test_of_two_runs_at_the_same_time_one_wins(cli, arguments):
    for turn in range(5):
        target = f"output_dir=model{turn}"
        results = [command.wait() for command in [cli.start(*arguments, target) for _ in range(2)]]
        assert sorted(result.code for result in results) == [0, 6], results
        (loser,) = [result for result in results if result.code]
        assert "is being written by another run" in loser.error_line or "exists" in loser.error_line
    assert sorted(os.listdir(cli.folder)) == [*(f"model{turn}" for turn in range(5)), "outputs"]


@pytest.mark.fault(57, "the run that holds the lock is killed")
def test_the_lock_of_a_killed_run_is_free(cli, halted, arguments, came_out):
    os.kill(halted.pid, signal.SIGKILL)
    assert halted.wait().code == -signal.SIGKILL
    assert len(list(cli.outputs.glob("models/.*"))) == 3  # its lock, staging and scratch
    result = cli(*arguments)
    assert result.code == 0, result.err
    left = os.listdir(cli.outputs / "models")
    assert left == [cli.model_folder().name]
    came_out(result, models=left)


@pytest.mark.fault(59, "two runs within the same second")
def test_two_runs_in_one_second_have_folders_of_their_own(cli, arguments, came_out):
    commands = [cli.start(*arguments, f"output_dir={name}") for name in "ab"]
    codes = [command.wait().code for command in commands]
    assert codes == [0, 0]
    folders = sorted((cli.outputs / "runs").iterdir())
    assert len(folders) == 2
    pids = {str(command.pid) for command in commands}
    assert {folder.name.split("_")[2] for folder in folders} == pids
    for folder in folders:
        assert sorted(os.listdir(folder)) == [".hydra", "ast2hf.log", "conversion_report.json"]
    came_out(exit_codes=codes, run_folders=len(folders))
