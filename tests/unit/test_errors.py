import pickle

import pytest

from ast2hf.errors import Choice, InputError, Question, QuestionError, invisible, is_printable, printable


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


QUESTIONS = (
    Question("the loss is open", (Choice("loss=bce", "several", "often"), Choice("loss=ce", "one")), "loss=CHOOSE"),
    Question("a\x1b is open", (Choice("x=1", "y\n"),)),
)


def test_a_question_is_one_line_and_its_answers_are_one_a_line():
    error = QuestionError(*QUESTIONS)
    assert error.exit_code == 2
    assert error.question == QUESTIONS[0]
    assert str(error) == r"the loss is open; a\x1b is open; give loss=bce, or loss=ce; and x=1"
    assert list(error.lines()) == [
        r"the loss is open; a\x1b is open; give one of each:",
        "  loss=bce: several (often)",
        "  loss=ce: one",
        "  and",
        r"  x=1: y\n",
    ]


def test_one_question_has_no_other():
    assert next(QuestionError(QUESTIONS[0]).lines()) == "the loss is open; give one of:"


def test_a_question_survives_the_way_to_another_process():
    assert pickle.loads(pickle.dumps(QuestionError(*QUESTIONS))).questions == QUESTIONS
