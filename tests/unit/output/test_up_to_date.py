import json
import os

import pytest

from ast2hf.output import up_to_date
from ast2hf.output.up_to_date import configuration_hash, file_hashes, read_if_current

NAMES = ("config.json", "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text(name)
    report = {
        "status": "passed", "source": {"sha256": "source"}, "configuration_sha256": "configuration",
        "files": file_hashes(tmp_path, NAMES),
    }  # fmt: skip
    (tmp_path / "conversion_report.json").write_text(json.dumps(report))
    return tmp_path


def current(folder, source="source", configuration="configuration"):
    report, reason = read_if_current(folder, source, configuration, NAMES)
    assert (report is None) == bool(reason)
    return reason


def test_a_folder_is_current_if_all_it_was_made_from_is_the_same(folder):
    assert current(folder) == ""
    assert "another checkpoint" in current(folder, source="other")
    assert "another configuration" in current(folder, configuration="other")


def test_a_folder_whose_files_or_report_changed_is_not_current(folder):
    (folder / "config.json").write_text("changed")
    assert "files have changed" in current(folder)
    (folder / "config.json").unlink()
    assert "no readable report" in current(folder)
    (folder / "conversion_report.json").write_text('{"status": "failed"}')
    assert "not proved" in current(folder)
    (folder / "conversion_report.json").write_text("[]")
    assert "no readable report" in current(folder)


@pytest.mark.parametrize("name", ["processor_config.json", "preprocessor_config.json", "head.safetensors"])
def test_a_folder_with_a_file_that_transformers_or_people_would_use_as_well_is_not_current(folder, name):
    (folder / name).write_text("{}")
    assert current(folder) == f"it has {name}, which it was not written with"
    (folder / name).rename(folder / "notes.json")
    assert current(folder) == ""


@pytest.mark.parametrize("name", ["conversion_report.json", "config.json"])
def test_a_folder_with_a_pipe_is_not_current_and_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "no readable report" in current(folder)


def test_a_report_as_deep_as_a_well_is_none(folder):
    (folder / "conversion_report.json").write_text("[" * 200_000)
    assert "no readable report" in current(folder)


def test_the_order_of_settings_does_not_matter_and_their_values_do():
    assert configuration_hash({"a": 1, "b": 2}) == configuration_hash({"b": 2, "a": 1})
    assert configuration_hash({"a": 1}) != configuration_hash({"a": 2})


def test_an_edit_of_the_package_makes_every_folder_old(tmp_path, monkeypatch):
    """Its version does not change when it is edited in a checkout."""
    package = tmp_path / "ast2hf"
    (package / "output").mkdir(parents=True)
    (package / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(up_to_date, "__file__", str(package / "output" / "up_to_date.py"))
    up_to_date._code_hash.cache_clear()
    before = configuration_hash({})
    (package / "one.py").write_text("x = 2\n")
    up_to_date._code_hash.cache_clear()
    assert configuration_hash({}) != before
    monkeypatch.undo()
    up_to_date._code_hash.cache_clear()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ('{"files": {"config.json": "", "model.safetensors": ""}}', {"config.json", "model.safetensors"}),
        ('{"files": {"head.safetensors": "", "../secret": "", "README.md": ""}}', {"head.safetensors"}),
        ('{"files": {}}', {"config.json", "model.safetensors", "preprocessor_config.json"}),
        ('{"files": 1}', {"config.json", "model.safetensors", "preprocessor_config.json"}),
        ("[]", {"config.json", "model.safetensors", "preprocessor_config.json"}),
    ],
)
def test_the_files_of_a_model_are_those_of_its_report_and_of_a_fixed_list(tmp_path, files, found):
    (tmp_path / "conversion_report.json").write_text(files)
    assert set(up_to_date.model_files(tmp_path)) == found
