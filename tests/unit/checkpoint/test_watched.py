import hashlib
import os
import threading
import time

import pytest

from ast2hf.checkpoint import watched
from ast2hf.errors import InputError

CHANGED = "the checkpoint changed while it was being read; wait until nothing writes to it"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 100)
    time.sleep(0.02)  # so that the next change has another time: the kernel counts in ticks
    return path


@pytest.fixture
def watch(path):
    with path.open("rb") as file, watched.watch(file.fileno()) as watch:
        watch.begin()
        yield watch


def written(path, **what: object) -> None:
    """Change the file in place, its size and the time of its content as they were."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_that_stays_the_same(path, watch):
    with watch.unchanged() as all_read:
        all_read()
    with watch.unchanged():
        pass
    assert watch.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        written,
        lambda path: path.write_bytes(path.read_bytes()),
        lambda path: path.write_bytes(b""),
        lambda path: path.open("ab").write(b"more"),
        lambda path: os.truncate(path, 10),
    ],
    ids=["other bytes", "the same bytes", "no bytes", "more bytes", "cut off"],
)
@pytest.mark.parametrize("inside", [True, False], ids=["while it is used", "before it is used"])
def test_a_file_that_changes_in_place(path, watch, change, inside):
    assert watch.sha256
    if not inside:
        change(path)
    with pytest.raises(InputError, match=CHANGED), watch.unchanged():
        if inside:
            change(path)


def test_the_second_hash_is_computed_once_and_from_when_all_is_read(path, watch, monkeypatch):
    hashed = []
    plain = watched._sha256
    assert watch.sha256
    monkeypatch.setattr(watched, "_sha256", lambda *args: hashed.append(args) or plain(*args))
    with watch.unchanged() as all_read:
        assert not hashed
        all_read()
        watch._executor.submit(int).result()
        assert len(hashed) == 1
    assert len(hashed) == 1


def test_the_hash_alone_finds_a_change(path, watch, monkeypatch):
    """The control: times can be coarse, or set by who may set the clock."""
    assert watch.sha256
    monkeypatch.setattr(watched, "_state", lambda fd: watch._before)
    written(path)
    with pytest.raises(InputError, match=CHANGED), watch.unchanged():
        pass


def test_the_times_alone_find_a_change(path, watch, monkeypatch):
    """Changed, and changed back."""
    monkeypatch.setattr(watched, "_sha256", lambda fd, abandoned: watch.sha256)
    written(path)
    with pytest.raises(InputError, match=CHANGED), watch.unchanged():
        pass


def test_an_error_caused_by_a_change_is_reported_as_the_change(path, watch):
    with pytest.raises(InputError, match=CHANGED), watch.unchanged():
        written(path)
        raise ValueError


def test_other_errors_are_passed_on(watch):
    with pytest.raises(ValueError, match="mine"), watch.unchanged():
        raise ValueError("mine")


def test_another_file_at_the_path_does_not_matter_to_the_hash(path, watch):
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.replace(path)
    assert watch.sha256 == hashlib.sha256(bytes(range(256)) * 100).hexdigest()


def test_the_hash_begins_when_it_is_asked_for_unless_it_was_begun(path, monkeypatch):
    hashed = []
    plain = watched._sha256
    monkeypatch.setattr(watched, "_sha256", lambda *args: hashed.append(args) or plain(*args))
    with path.open("rb") as file:
        with watched.watch(file.fileno()) as watch:
            pass
        assert not hashed
        with watched.watch(file.fileno()) as watch:
            watch.begin()
            watch.begin()
        assert len(hashed) == 1
        with watched.watch(file.fileno()) as watch:
            assert watch.sha256 == watch.sha256
        assert len(hashed) == 2


def test_an_abandoned_file_is_not_read_to_its_end(path, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()

    def blocks(*_: object):
        yield b"one"
        reached.set()
        go_on.wait(10)
        yield b"two"
        raise AssertionError("it reads on")

    monkeypatch.setattr(watched, "blocks", blocks)
    with path.open("rb") as file, watched.watch(file.fileno()) as watch:
        watch.begin()
        assert reached.wait(10)
        watch._abandoned.set()
        go_on.set()
        with pytest.raises(watched.CancelledError):
            _ = watch.sha256
