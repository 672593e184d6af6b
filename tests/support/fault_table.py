"""The table of faults: what each of the numbered bad inputs gets. ``make faults`` prints it, and compares the page with
docs/faults.md.

A test of a case is marked ``@pytest.mark.fault(number, "what was done")`` and gives ``came_out`` what it measured. A
case may have several tests; its row shows what the first measured, and passes when all pass. Where several processes
share the tests, each tells the one that writes the table by its reports, in any order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.result import Result

CASES = range(1, 141)

_PAGE = """\
# Faults

What each kind of bad input and broken surrounding gets. `make faults` makes this page: each row is what a test saw, and
the tests fail where it is neither a clean error nor a proved model. Where a case has several tests, its row shows the
first. [Errors](errors.md) explains the exit codes.

"""

_SHOWN = 200
"""Characters of what came out."""

_OTHER_EACH_TIME = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1"),
    (r"process \d+ on [^\s)]+", "process PID on HOST"),
    (r"storage \d+", "storage KEY"),
    (r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+_", "TIME_PID_"),
    (r"\.[0-9a-f]{12}\.(staging|scratch)", r".TOKEN.\1"),
    (r"evaluations/[0-9a-f]{16,}", "evaluations/KEY"),
)


@dataclass
class Case:
    """One row of the table. ``tests``: by their place in the order of all tests, what was done and what came out."""

    tests: dict[int, tuple[str, str]] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)
    """Of its tests, as pytest names them."""

    @property
    def done(self) -> str:
        return self._first(0)

    @property
    def came_out(self) -> str:
        return self._first(1)

    def _first(self, column: int) -> str:
        return next((self.tests[place][column] for place in sorted(self.tests) if self.tests[place][column]), "")

    @property
    def verdict(self) -> str:
        if "failed" in self.outcomes:
            return "**FAIL**"
        if "passed" in self.outcomes:
            return "pass"
        return "not run"


_place = pytest.StashKey[int]()


class FaultTable:
    """Gathers the rows from the reports of the tests, and writes the page to ``path`` in the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cases = {number: Case() for number in CASES}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = [text for name, text in report.user_properties if name == "came_out"]
        for number, done in getattr(report, "faults", ()):  # a process that has died reports for itself
            case = self._cases[number]
            case.tests[report.place] = done, "".join(told[:1])
            if report.when == "call" or not report.passed:
                case.outcomes.append(report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        self._path.write_text(_PAGE + self.text(), encoding="utf-8")
        if exitstatus == pytest.ExitCode.OK and any(case.verdict != "pass" for case in self._cases.values()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Before the list of what failed, which is to be the last that is read."""
        terminalreporter.write_sep("=", "table of faults")
        terminalreporter.write(self.text())

    def text(self) -> str:
        lines = ["| case | what was done | what came out | |", "|---|---|---|---|"]
        for number, case in self._cases.items():
            cells = (str(number), case.done, case.came_out, case.verdict)
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        return "\n".join(lines) + "\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", type=Path, help="write the table of faults here; fail if a case was not run")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--fault-table")
    if path is not None and not hasattr(config, "workerinput"):  # those that share the tests only report
        config.pluginmanager.register(FaultTable(path))


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for place, item in enumerate(items):  # as they stand in the files; they may be run in another order
        item.stash[_place] = place


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    report.faults = [list(mark.args) for mark in item.iter_markers("fault")]
    report.place = item.stash[_place]
    return report
