import pytest
from conftest import Result
from support.fault_table import CASES, FaultTable, words


@pytest.mark.parametrize(
    ("result", "measured", "expected"),
    [
        (Result(3, "", "Read\nerror: a.pth is empty; fetch it again\n"), {}, "exit 3: a.pth is empty; fetch it again"),
        (Result(0, "", ""), {"same_bytes": True, "requests": 2}, "exit 0; same bytes: yes; requests: 2"),
        (ValueError("no"), {}, "ValueError: no"),
        (None, {"exit_codes": [0, 6], "found": {"old": 2, "new": 1}}, "exit codes: 0, 6; found: 2 old, 1 new"),
        (None, {"places": []}, "places: none"),
    ],
)
def test_the_words_are_made_of_what_was_measured(result, measured, expected):
    assert words(result, **measured) == expected


def test_words_of_a_test_are_refused():
    with pytest.raises(TypeError, match="instead of 'exit 0: published'"):
        words("exit 0: published")


def report(place, outcome="passed", when="call", told=None, number=1, done="a file of no bytes"):
    made = pytest.TestReport("test", ("", 0, ""), {}, outcome, None, when)
    made.user_properties = [] if told is None else [("came_out", told)]
    made.faults, made.place = [[number, done]], place
    return made


def rows(*reports):
    table = FaultTable(None)
    for one in reports:
        table.pytest_runtest_logreport(one)
    return table.text().splitlines()[2:]


def test_a_row_shows_the_first_test_in_whatever_order_they_end():
    row, *others = rows(report(7, told="second"), report(3, done="empty", told="first"), report(9, told="third"))
    assert row == "| 1 | empty | first | pass |"
    assert len(others) == len(CASES) - 1
    assert others[0] == "| 2 |  |  | not run |"


def test_a_row_shows_what_was_measured_by_the_first_that_told():
    assert rows(report(2, told="a|b"), report(1))[0] == "| 1 | a file of no bytes | a\\|b | pass |"


@pytest.mark.parametrize(
    ("outcome", "when", "verdict"),
    [
        ("failed", "call", "**FAIL**"),
        ("failed", "setup", "**FAIL**"),
        ("failed", "teardown", "**FAIL**"),
        ("skipped", "setup", "pass"),
        ("passed", "setup", "pass"),
    ],
)
def test_a_case_passes_when_no_test_of_it_failed(outcome, when, verdict):
    assert rows(report(1), report(2, outcome, when))[0].endswith(f"| {verdict} |")


def test_a_case_whose_tests_were_all_skipped_was_not_run():
    assert rows(report(1, "skipped", "setup"))[0].endswith("| not run |")


def test_a_report_of_a_process_that_died_belongs_to_no_case():
    assert len(rows(pytest.TestReport("test", ("", 0, ""), {}, "failed", "killed", "???"))) == len(CASES)
