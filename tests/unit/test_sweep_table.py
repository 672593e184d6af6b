import json

import pytest

from ast2hf.report import sweep_table
from ast2hf.sweep import Job, Sweep, _short


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


@pytest.fixture
def sweep(tmp_path):
    sweep = Sweep()
    sweep.folder = tmp_path
    for number in (0, 2, 10):
        folder = tmp_path / f"{number}_ast_16_16"
        folder.mkdir()
        job = {"code": 0, "model": "m", "status": "passed", "number": number}
        if number != 2:
            (folder / "job.json").write_text(json.dumps(job))
    return sweep


def test_jobs_come_in_order_and_a_lost_one_is_told(sweep):
    jobs = list(sweep.jobs())
    assert [(job.number, job.status) for job in jobs] == [(0, "passed"), (2, "lost"), (10, "passed")]
    assert jobs[1].code != 0


def test_the_page_escapes_what_comes_from_outside(tmp_path):
    job = Job(5, "m", "failed", error="<script>alert(1)</script>\x1b[31m")
    table, page = sweep_table.write([job], tmp_path)
    assert "<script>" not in page.read_text()
    assert "\x1b" not in table.read_text()
    assert "http" not in page.read_text()
