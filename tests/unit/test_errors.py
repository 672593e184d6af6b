import pytest

from ast2hf.errors import InputError, invisible, is_printable, printable


def test_the_remedy_is_shown_however_long_the_cause():
    shown = str(InputError("x" * 10_000 + "\x1b", "do this"))
    assert shown.endswith("…; do this")
    assert len(shown) < 5000


def test_control_characters_are_escaped():
    assert str(InputError("a\x1b[31m\x00\n", "\u2028")) == r"a\x1b[31m\x00\n; \u2028"


SIGNS = "\u202e \u202a \u2066 \u2069 \u200e \u061c \u200b \u200d \u2060 \ufeff \xad \u3164 \U000e0041"


@pytest.mark.parametrize("sign", SIGNS.split(" "))
def test_what_has_no_width_or_turns_the_direction_is_escaped(sign):
    text = f"a{sign}b"
    escaped = sign.encode("unicode_escape").decode()
    assert printable(text) == f"a{escaped}b"
    assert str(InputError(text, text)) == f"a{escaped}b; a{escaped}b"
    assert invisible(text) == f"an invisible character (U+{ord(sign):04X})"
    assert not is_printable(text)


@pytest.mark.parametrize(
    "text",
    ["Speech", "Gebr\u00fcll", "\u0639\u0631\u0628\u064a", "\u65e5\u672c\u8a9e", "\u2764\ufe0f", "a\u00a0b", "e\u0301"],
)
def test_what_can_be_seen_is_left_as_it_is(text):
    assert printable(text) == text
    assert invisible(text) is None


def test_control_characters_are_named_as_such():
    assert invisible("a\x1b\u200b") == "control characters"
