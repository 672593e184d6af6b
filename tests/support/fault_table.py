"""The table of faults: what each of the numbered bad inputs gets. ``make faults`` prints it.

A test of a case is marked ``@pytest.mark.fault(number, "what was done")`` and gives ``came_out`` what it measured. A
case may have several tests; its row shows what the first measured, and passes when all pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.result import Result

CASES = range(1, 120)

_SHOWN = 200
"""Characters of what came out."""

_OTHER_EACH_TIME = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1"),
    (r"process \d+ on [^\s)]+", "process PID on HOST"),
    (r"storage \d+", "storage KEY"),
    (r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_", "TIME_PID_"),
    (r"\.[0-9a-f]{12}\.(staging|scratch)", r".TOKEN.\1"),
)


@dataclass
class Case:
    """One row of the table. ``outcomes``: of its tests, as pytest names them."""

    done: str = ""
    came_out: str = ""
    outcomes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if "failed" in self.outcomes:
            return "**FAIL**"
        if "passed" in self.outcomes:
            return "pass"
        return "not run"


cases = pytest.StashKey[dict[int, Case]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", type=Path, help="write the table of faults here; fail if a case was not run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[cases] = {number: Case() for number in CASES}


@pytest.fixture
def came_out(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Tell the table what came out. See :func:`words`."""

    def tell(result: Result | Exception | None = None, **measured: object) -> None:
        text = words(result, **measured)
        # The first is that of the cli.
        folders = ((re.escape(f"{tmp_path}/work/"), ""), (re.escape(str(tmp_path)), "…"))
        for found, shown in (*folders, *_OTHER_EACH_TIME):
            text = re.sub(found, shown, text)
        request.node.user_properties.append(("came_out", text if len(text) <= _SHOWN else text[:_SHOWN] + "…"))

    return tell


def words(result: Result | Exception | None = None, **measured: object) -> str:
    """What came out, in words that are made here, of what a test measured: it cannot write them itself.

    ``result``: of a command, its exit code and its error; or the exception. ``measured``: by the name of what was
    measured, with ``_`` for spaces.
    """
    found = []
    if isinstance(result, Result):
        found.append(f"exit {result.code}" + (f": {_error(result)}" if result.code else ""))
    elif isinstance(result, Exception):
        found.append(f"{type(result).__name__}: {result}")
    elif result is not None:
        raise TypeError(f"give a result, or what was measured by its name, instead of {result!r}")
    found += [f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in measured.items()]
    return "; ".join(found)


def _error(result: Result) -> str:
    return result.error_line.removeprefix("error: ")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    for mark in item.iter_markers("fault"):
        number, done = mark.args
        case = item.config.stash[cases][number]
        case.done = case.done or done
        told = [text for name, text in item.user_properties if name == "came_out"]
        case.came_out = case.came_out or "".join(told[:1])
        if report.when == "call" or not report.passed:
            case.outcomes.append(report.outcome)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    path = session.config.getoption("--fault-table")
    if path is None:
        return
    found = session.config.stash[cases]
    lines = ["| case | what was done | what came out | |", "|---|---|---|---|"]
    for number, case in found.items():
        cells = (str(number), case.done, case.came_out, case.verdict)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if exitstatus == pytest.ExitCode.OK and any(case.verdict != "pass" for case in found.values()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
