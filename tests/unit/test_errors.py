from ast2hf.errors import InputError


def test_the_remedy_is_shown_however_long_the_cause():
    shown = str(InputError("x" * 10_000 + "\x1b", "do this"))
    assert shown.endswith("…; do this")
    assert len(shown) < 5000


def test_control_characters_are_escaped():
    assert str(InputError("a\x1b[31m\x00\n", "\u2028")) == r"a\x1b[31m\x00\n; \u2028"
