import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ast2hf.cli import signals
from ast2hf.errors import OutputError
from ast2hf.output import lock
from ast2hf.output.lock import SCRATCH, STAGING, check_free, check_place, lock_output

DEAD = "0123456789ab"
"""The token of a run that was killed."""


def publish(target, overwrite=False, content="new"):
    with lock_output(target) as claim:
        (claim.new_folder(STAGING) / "config.json").write_text(content)
        claim.publish(overwrite)


def old_folder(path):
    path.mkdir()
    (path / "pytorch_model.bin").write_text("old")


def old_link(path):
    (path.parent / "elsewhere").mkdir()
    (path.parent / "elsewhere" / "kept").write_text("kept")
    path.symlink_to(path.parent / "elsewhere")


def test_published_whole_and_nothing_left_over(tmp_path):
    publish(tmp_path / "a" / "model")
    assert (tmp_path / "a" / "model" / "config.json").read_text() == "new"
    assert os.listdir(tmp_path / "a") == ["model"]


def test_an_unpublished_folder_is_removed_after_an_error(tmp_path):
    with pytest.raises(KeyError), lock_output(tmp_path / "model") as claim:
        for kind in (STAGING, SCRATCH):
            folder = claim.new_folder(kind)
            assert folder.parent == tmp_path
            (folder / "file").write_text("")
        raise KeyError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "make",
    [old_folder, old_link, lambda p: p.write_text("old"), lambda p: p.symlink_to("nowhere"), lambda p: p.mkdir()],
)
def test_an_existing_target_is_refused_or_replaced_entirely(tmp_path, make):
    target = tmp_path / "model"
    make(target)
    with pytest.raises(OutputError, match="exists"):
        check_free(target, overwrite=False)
    with pytest.raises(OutputError, match="was created"):
        publish(target)
    check_free(target, overwrite=True)
    publish(target, overwrite=True)
    assert os.listdir(target) == ["config.json"]
    assert not target.is_symlink()
    if (tmp_path / "elsewhere").exists():
        assert (tmp_path / "elsewhere" / "kept").read_text() == "kept"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupt_between_the_two_renames_restores_the_old_folder(tmp_path, monkeypatch, fault):
    target = tmp_path / "model"
    old_folder(target)
    rename = Path.rename

    def fail(path, to):
        if path.suffix == f".{STAGING}":
            raise fault
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError if isinstance(fault, OSError) else KeyboardInterrupt):
        publish(target, overwrite=True)
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(target) == ["pytorch_model.bin"]


def test_a_signal_waits_until_what_was_replaced_is_gone(tmp_path, monkeypatch):
    old_folder(tmp_path / "model")
    remove = shutil.rmtree

    def interrupted(*arguments, **keywords):
        signal.raise_signal(signal.SIGINT)
        remove(*arguments, **keywords)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "model", overwrite=True)
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == ["config.json"]


KILLED_BETWEEN_THE_RENAMES = """
import os, sys
from pathlib import Path
from ast2hf.output.lock import lock_output

def rename(path, to, real=Path.rename):
    if path.suffix == ".staging":
        os.kill(os.getpid(), 9)
    return real(path, to)

Path.rename = rename
with lock_output(Path(sys.argv[1])) as claim:
    (claim.new_folder("staging") / "config.json").write_text("new")
    claim.publish(overwrite=True)
"""


@pytest.fixture
def killed(tmp_path):
    """What a run leaves that was killed when it had moved the old folder away, and not yet the new one in."""
    old_folder(tmp_path / "model")
    command = [sys.executable, "-c", KILLED_BETWEEN_THE_RENAMES, str(tmp_path / "model")]
    assert subprocess.run(command).returncode == -9
    left = sorted(path.name.rpartition(".")[2] for path in tmp_path.iterdir())
    assert left == ["lock", "previous", "staging"]
    return next(tmp_path.glob(".*.previous"))


def test_a_kill_between_the_two_renames_is_repaired_by_the_next_run(tmp_path, killed):
    with lock_output(tmp_path / "model"):
        assert os.listdir(tmp_path / "model") == ["pytorch_model.bin"]
    assert os.listdir(tmp_path) == ["model"]


def test_and_by_the_one_after_it_where_the_next_is_killed_as_well(tmp_path, killed):
    code = (
        "import os, sys; from pathlib import Path; from ast2hf.output import lock\n"
        "lock.signals.held = lambda: os.kill(os.getpid(), 9)\n"
        "with lock.lock_output(Path(sys.argv[1])): pass"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")]).returncode == -9
    assert killed.exists()
    publish(tmp_path / "model", overwrite=True)
    assert os.listdir(tmp_path) == ["model"]


def plant(target, note):
    """A folder as a killed run would leave it, which none has left. ``note``: what the lock file says of it."""
    planted = target.with_name(f".{target.name}.{DEAD}.previous")
    old_folder(planted)
    if note is not None:
        inode = planted.stat().st_ino
        target.with_name(f".{target.name}.lock").write_text(note.format(DEAD=DEAD, inode=inode, other=inode + 1))
    return planted


NOTE = "process 1 on host\nmoved aside: {DEAD} inode {inode}\n"


@pytest.mark.parametrize(
    "note",
    [
        None,
        "",
        "process 1 on host\n",
        NOTE.replace("{inode}", "{other}"),
        NOTE.replace("{DEAD}", "ab0123456789"),
        NOTE.replace("\nmoved", " moved"),
        "x" * 5000 + "\n" + NOTE,
    ],
)
def test_a_folder_that_no_run_moved_aside_does_not_become_the_model(tmp_path, note):
    planted = plant(tmp_path / "model", note)
    with lock_output(tmp_path / "model"):
        assert not (tmp_path / "model").exists()
    assert os.listdir(tmp_path) == [planted.name]
    publish(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(tmp_path / "model") == ["config.json"]


def test_what_the_lock_file_names_is_put_back_but_not_by_another_s(tmp_path, monkeypatch):
    plant(tmp_path / "model", NOTE)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with lock_output(tmp_path / "model"):
        assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    (tmp_path / f".model.{DEAD}.previous").rename(tmp_path / "kept")
    (tmp_path / "kept").rename(tmp_path / f".model.{DEAD}.previous")
    inode = (tmp_path / f".model.{DEAD}.previous").stat().st_ino
    (tmp_path / ".model.lock").write_text(NOTE.format(DEAD=DEAD, inode=inode))
    with lock_output(tmp_path / "model"):
        assert os.listdir(tmp_path / "model") == ["pytorch_model.bin"]


@pytest.mark.parametrize("make", [os.symlink, os.link, lambda _, path: os.mkfifo(path), lambda _, path: path.mkdir()])
def test_a_lock_that_is_not_a_plain_file_is_not_written_to(tmp_path, make):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    make(victim, tmp_path / ".model.lock")
    with pytest.raises(OutputError, match=r"model\.lock cannot be used \(.*; remove it"):
        publish(tmp_path / "model")
    assert victim.read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == [".model.lock", "victim"]


def test_a_lock_replaced_while_in_use_is_not_written_to(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    monkeypatch.setattr(lock.lock_file, "check", lambda path: os.link(victim, path))
    with pytest.raises(OutputError, match="has other hard links"):
        publish(tmp_path / "model")
    assert victim.read_text() == "kept"


def test_the_lock_of_another_run_is_read_only_so_far(tmp_path):
    with lock_output(tmp_path / "model"):
        with (tmp_path / ".model.lock").open("ab") as file:
            file.truncate(1 << 40)
        with pytest.raises(OutputError, match="just started"), lock_output(tmp_path / "model"):
            pass


@pytest.mark.parametrize("make", [old_folder, old_link, lambda p: p.write_text("old")])
def test_leftovers_of_dead_runs_are_removed(tmp_path, make):
    (tmp_path / "model").mkdir()
    for kind in ("staging", "scratch", "previous"):
        (tmp_path / kind).mkdir()
        make(tmp_path / kind / "left")
        (tmp_path / kind / "left").rename(tmp_path / f".model.{DEAD}.{kind}")
    with lock_output(tmp_path / "model"):
        assert sorted(p.name for p in tmp_path.glob(".*")) == [".model.lock"]
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "model").is_dir()
    if make is old_link:
        assert len(list(tmp_path.glob("*/elsewhere/kept"))) == 3


def test_folders_of_others_are_left_alone(tmp_path):
    others = [".model.x.0123456789ab.staging", ".model.staging", ".model.0123.staging", "model.0123456789ab.staging"]
    for name in others:
        (tmp_path / name).mkdir()
    with lock_output(tmp_path / "model"), lock_output(tmp_path / "model.x.0123456789ab"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_name_with_the_signs_of_a_pattern(tmp_path):
    (tmp_path / ".a[1]*.0123456789ab.staging").mkdir()
    publish(tmp_path / "a[1]*")
    assert os.listdir(tmp_path) == ["a[1]*"]


def test_only_one_run_has_a_target_and_the_other_names_it(tmp_path):
    with lock_output(tmp_path / "model") as claim:
        claim.new_folder(STAGING)
        message = rf"being written by another run \(process {os.getpid()} on {socket.gethostname()}\)"
        with pytest.raises(OutputError, match=message), lock_output(tmp_path / "model"):
            pass
        assert claim.sibling_path(STAGING).exists()
        publish(tmp_path / "other")
    assert os.listdir(tmp_path) == ["other"]


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from ast2hf.output.lock import lock_output\n"
        "with lock_output(Path(sys.argv[1])) as claim: claim.new_folder('staging'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")]).returncode == -9
    assert len(os.listdir(tmp_path)) == 2
    publish(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


def test_a_lock_that_was_removed_under_a_waiting_run_is_none(tmp_path, monkeypatch):
    """It has opened the file before its holder removes it, and gets the lock on a file that is no longer there."""
    lock_file = tmp_path / ".model.lock"
    real_open = os.open

    def open_and_lose(path, *arguments, **keywords):
        fd = real_open(path, *arguments, **keywords)
        if str(path) == str(lock_file):
            lock_file.unlink()
        return fd

    monkeypatch.setattr(os, "open", open_and_lose)
    with pytest.raises(OutputError, match="another run"), lock_output(tmp_path / "model"):
        pass


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(OutputError, match="supports locks"), lock_output(tmp_path / "model"):
        pass


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        publish(tmp_path / "model")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((tmp_path / "model" / "config.json").stat().st_mode) == 0o666 & ~umask


def test_it_is_on_the_disk_before_it_is_published_and_its_name_after(tmp_path, monkeypatch):
    target, synced = tmp_path / "model", []
    monkeypatch.setattr(lock, "_fsync", lambda path: synced.append((path.name, target.exists())))
    publish(target)
    (file, before), (staging, still_before), (parent, after) = synced
    assert (file, before, still_before, parent, after) == ("config.json", False, False, tmp_path.name, True)
    assert staging.endswith(".staging")


def test_the_working_directory_and_what_is_above_it_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for target in (tmp_path / "a" / "b", tmp_path / "a", tmp_path):
        with pytest.raises(OutputError, match="working directory or contains"):
            check_place(target, tmp_path / "outputs")


@pytest.mark.parametrize("name", [".", "models", "runs", "multiruns", "mlartifacts"])
def test_the_folder_of_all_results_is_refused(tmp_path, name):
    outputs = tmp_path / "outputs"
    with pytest.raises(OutputError, match=r"output_dir .* is paths.outputs/\w+ or contains it"):
        check_place(outputs / name, outputs)
    check_place(outputs / "models" / "mine", outputs)
    check_place(outputs / "mine", outputs)


def test_a_folder_in_which_nothing_may_be_looked_up_has_no_place(tmp_path, monkeypatch):
    def closed(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.exists", closed)
    check_place(tmp_path / "a" / "model", tmp_path / "outputs")


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a folder that you may write to"):
        check_place(tmp_path / "file" / "model", tmp_path / "outputs")


@pytest.fixture
def raising():
    """SIGINT and SIGTERM raise exceptions, as in a run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals.raise_exceptions()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_as_the_clean_up_begins_leaves_nothing_behind(tmp_path, monkeypatch, number):
    target = tmp_path / "model"
    old_folder(target)
    escape = lock.re.escape

    def signalled(text):
        monkeypatch.setattr(lock.re, "escape", escape)
        signal.raise_signal(number)
        return escape(text)

    with pytest.raises((SystemExit, KeyboardInterrupt)), lock_output(target) as claim:
        (claim.new_folder(STAGING) / "config.json").write_text("new")
        claim.new_folder(SCRATCH)
        claim.publish(overwrite=True)
        monkeypatch.setattr(lock.re, "escape", signalled)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "config.json").read_text() == "new"
