"""The pure parts of bench/: ratios, targets, and what could not be measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

MIB = 1 << 20


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "bench_results", Path(__file__).parent.parent.parent / "bench" / "results.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_ratio_is_one_of_medians_and_memory_the_largest(results: ModuleType) -> None:
    cp = [results.Measurement(s) for s in (1.0, 2.0, 9.0)]
    convert = [results.Measurement(s, above_imports=int(m * MIB)) for s, m in ((2.5, 1), (3.0, 3), (8.0, 2))]
    row = results.rows({"cp": cp, "convert": convert})[1]
    assert row.ratio == 1.5
    assert row.above_imports_mib == 3
    assert row.verdict == "met"  # a limit that is reached exactly is kept


@pytest.mark.parametrize(
    ("seconds", "mib", "verdict"),
    [(1.6, 1, "MISSED (time)"), (1.0, 65, "MISSED (memory)"), (1.6, 65, "MISSED (time and memory)"), (1.0, 64, "met")],
)
def test_verdict_names_what_is_missed(results: ModuleType, seconds: float, mib: int, verdict: str) -> None:
    measured = {"cp": [results.Measurement(1.0)], "convert": [results.Measurement(seconds, above_imports=mib * MIB)]}
    assert results.rows(measured)[1].verdict == verdict


def test_what_was_not_measured_is_never_met(results: ModuleType) -> None:
    without_memory = results.rows({"cp": [results.Measurement(1.0)], "convert": [results.Measurement(1.0)]})
    assert without_memory[1].verdict == "not measured (memory)"
    assert results.rows({"convert": [results.Measurement(9.0, above_imports=1)]})[0].verdict == "not measured (time)"


def test_total_adds_time_and_keeps_the_largest_memory(results: ModuleType) -> None:
    found = results.total([results.Measurement(1.0, 5, 3), results.Measurement(2.0, 4, None)])
    assert found == results.Measurement(3.0, 5, 3)
