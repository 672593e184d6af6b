import os
import stat

import pytest

from ast2hf.errors import OutputError
from ast2hf.huggingface import folder


def publish(target, overwrite=False, content="new"):
    with folder.staging(target) as staged:
        (staged / "config.json").write_text(content)
        folder.publish(staged, target, overwrite)


def test_published_whole_and_nothing_left_over(tmp_path):
    publish(tmp_path / "a" / "model")
    assert (tmp_path / "a" / "model" / "config.json").read_text() == "new"
    assert os.listdir(tmp_path / "a") == ["model"]


def test_staging_lies_beside_the_target_and_goes_with_an_error(tmp_path):
    with pytest.raises(KeyError), folder.staging(tmp_path / "model") as staged:
        assert staged.parent == tmp_path
        raise KeyError
    assert os.listdir(tmp_path) == []


def old_folder(path):
    path.mkdir()
    (path / "pytorch_model.bin").write_text("old")


def old_link(path):
    (path.parent / "elsewhere").mkdir()
    (path.parent / "elsewhere" / "kept").write_text("kept")
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    "make",
    [old_folder, old_link, lambda p: p.write_text("old"), lambda p: p.symlink_to("nowhere"), lambda p: p.mkdir()],
)
def test_what_exists_is_refused_or_replaced_whole(tmp_path, make):
    target = tmp_path / "model"
    make(target)
    with pytest.raises(OutputError, match="exists"):
        folder.check_target(target, overwrite=False)
    with pytest.raises(OutputError, match="appeared"):
        publish(target)
    folder.check_target(target, overwrite=True)
    publish(target, overwrite=True)
    assert os.listdir(target) == ["config.json"]
    assert not target.is_symlink()
    if (tmp_path / "elsewhere").exists():
        assert (tmp_path / "elsewhere" / "kept").read_text() == "kept"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_failed_rename_puts_the_old_one_back(tmp_path, monkeypatch):
    target = tmp_path / "model"
    old_folder(target)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "_rename_to_new", fail)
    with pytest.raises(OutputError, match="free some space"):
        publish(target, overwrite=True)
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(target) == ["pytorch_model.bin"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        publish(tmp_path / "model")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((tmp_path / "model" / "config.json").stat().st_mode) == 0o666 & ~umask


def test_the_working_directory_and_what_is_above_it_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for target in (tmp_path / "a" / "b", tmp_path / "a", tmp_path):
        with pytest.raises(OutputError, match="working directory or above"):
            folder.check_target(target, overwrite=True)


def test_a_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a folder that you may write to"):
        folder.check_target(tmp_path / "file" / "model", overwrite=False)


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json(tmp_path / "x.json", {"a": float("nan")})
