import pytest
from conftest import Result
from support.fault_table import words


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
