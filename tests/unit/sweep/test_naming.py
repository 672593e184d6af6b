import pytest

from ast2hf.sweep import naming
from ast2hf.sweep.naming import _short, for_tables


@pytest.mark.parametrize(
    ("override", "expected"),
    [("device=cpu", "device=cpu"), ("model.layer_norm_eps=1e-06", "model.layer_norm_eps=1e-06")],
)
def test_plain_values_stand_in_the_name(override, expected):
    assert _short(override) == expected


def test_shortened_values_stay_distinct():
    one, two = _short("checkpoint=one/a.pth"), _short("checkpoint=two/a.pth")
    assert one != two
    assert one.startswith("checkpoint=a.pth-")
    assert "/" not in _short("checkpoint='http://h/a b.pth?x=1'")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("checkpoint=synthetic:1", "checkpoint=synthetic:1"),
        ("checkpoint=best.pth", "checkpoint=best.pth"),
        ("hub.repo_id=me/model", "hub.repo_id=me/model"),
        ("checkpoint='https://host/a.pth?token=x'", "checkpoint='https://host/a.pth?…'"),
    ],
)
def test_in_a_table_a_value_is_as_it_was_given(override, expected):
    assert for_tables(override) == expected


@pytest.mark.parametrize("folder", ["/secret/one", "secret/one", "'/my secret/one'", r"C:\secret\one"])
def test_in_a_table_no_folder_of_a_local_file_is_left(folder):
    separator = "\\" if "\\" in folder else "/"
    shown = for_tables(f"checkpoint={folder}{separator}a.pth")
    assert shown.startswith("checkpoint=a.pth-")
    assert shown != for_tables(f"checkpoint={folder}{separator}b{separator}a.pth")
    assert "secret" not in shown + _short(f"checkpoint={folder}{separator}a.pth")


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ([], ""),
        (["model"], ""),
        (["device", "model"], "_device=cpu"),
        (["model.std", "device"], "_device=cpu_model.std=4.5"),
    ],
)
def test_the_suffix_has_what_differs_but_not_the_model(axes, expected, monkeypatch):
    monkeypatch.setattr(naming, "axes", axes)
    assert naming.suffix(["model=m", "device=cpu", "model.std=4.5", "audio=packaged"]) == expected
