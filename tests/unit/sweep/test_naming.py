import pytest

from ast2hf.sweep import naming
from ast2hf.sweep.naming import _short


@pytest.mark.parametrize(
    ("override", "expected"),
    [("device=cpu", "device=cpu"), ("model.layer_norm_eps=1e-06", "model.layer_norm_eps=1e-06")],
)
def test_plain_values_stand_in_the_name(override, expected):
    assert _short(override) == expected


def test_values_that_lose_something_are_told_apart():
    one, two = _short("checkpoint=one/a.pth"), _short("checkpoint=two/a.pth")
    assert one != two
    assert one.startswith("checkpoint=a.pth-")
    assert "/" not in _short("checkpoint='http://h/a b.pth?x=1'")


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
