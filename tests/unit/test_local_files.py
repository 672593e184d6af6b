"""Files are written whole or not at all, and nothing is opened that is none."""

import os
import socket
from pathlib import Path

import pytest

from ast2hf.errors import InputError
from ast2hf.local_files import NoFileError, open_file, open_unshared, read, read_file, write_atomically


@pytest.mark.parametrize("before", [None, b"old"])
def test_write_atomically_replaces(tmp_path, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_name_of_the_greatest_length(tmp_path):
    path = tmp_path / ("x" * 255)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write = Path.write_bytes

    def fail(self, *arguments):
        if step == "write_bytes":
            write(self, b"half")
        raise error

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(error):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def a_folder(path):
    path.mkdir()


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


NO_FILES = {"a folder": a_folder, "a pipe": os.mkfifo, "a socket": a_socket}


@pytest.fixture
def no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket has at most 107 bytes

    def make(kind):
        if kind == "a device":
            return Path("/dev/zero")
        NO_FILES[kind](Path("it"))
        return Path("it")

    return make


@pytest.mark.parametrize("kind", [*NO_FILES, "a device"])
def test_a_path_that_is_not_a_file_is_named_without_blocking(no_file, kind):
    path = no_file(kind)
    for opened in (path, Path("link")):
        if opened != path:
            opened.symlink_to(path)
        with pytest.raises(NoFileError, match=f"it is {kind}, not a regular file"):
            open_file(opened)
    with pytest.raises(
        InputError, match=rf"label file {path} cannot be read \(it is {kind}, not a regular file\); give one"
    ):
        read(str(path), "label file", "give one", 100)


def test_a_pipe_that_replaces_a_file_does_not_block(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"")
    found = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: found)
    with pytest.raises(NoFileError, match="a pipe"):
        open_file(path)


def test_a_file_is_read_up_to_a_size(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(OSError, match="more than 99 bytes"):
        read_file(tmp_path / "file", 99)
    os.truncate(tmp_path / "file", 1 << 40)
    with pytest.raises(OSError, match="more than 3,000,000 bytes"):
        read_file(tmp_path / "file", 3_000_000)


def test_a_file_that_claims_to_be_empty_is_still_read():
    assert Path("/proc/self/status").stat().st_size == 0
    assert read_file(Path("/proc/self/status"), 1 << 20).startswith(b"Name:")


@pytest.mark.parametrize("mode", ["rb", "ab", "r+b"])
@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_a_file_of_two_names_is_not_opened_for_writing(tmp_path, mode, make):
    (tmp_path / "victim").write_bytes(b"kept")
    make(tmp_path / "victim", tmp_path / "file")
    with pytest.raises(NoFileError, match="link"):
        open_unshared(tmp_path / "file", mode)
    assert (tmp_path / "victim").read_bytes() == b"kept"


def test_a_link_created_after_the_check_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    monkeypatch.setattr("ast2hf.local_files.require_unshared", lambda path: None)
    with pytest.raises(OSError, match="symbolic links"):
        open_unshared(tmp_path / "file", "ab")


def test_a_file_of_its_own_is_opened_for_writing(tmp_path):
    with open_unshared(tmp_path / "file", "xb") as file:
        file.write(b"one")
    with open_unshared(tmp_path / "file", "ab") as file:
        file.write(b"two")
    assert (tmp_path / "file").read_bytes() == b"onetwo"
    with pytest.raises(FileExistsError):
        open_unshared(tmp_path / "file", "xb")
    with pytest.raises(ValueError, match="would empty"):
        open_unshared(tmp_path / "file", "wb")
