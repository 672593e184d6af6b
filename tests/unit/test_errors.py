import pickle

from ast2hf.errors import Choice, InputError, Question, QuestionError


def test_the_remedy_is_shown_however_long_the_cause():
    shown = str(InputError("x" * 10_000 + "\x1b", "do this"))
    assert shown.endswith("…; do this")
    assert len(shown) < 5000


def test_control_characters_are_escaped():
    assert str(InputError("a\x1b[31m\x00\n", "\u2028")) == r"a\x1b[31m\x00\n; \u2028"


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
    assert list(QuestionError(QUESTIONS[0]).lines())[0] == "the loss is open; give one of:"


def test_a_question_survives_the_way_to_another_process():
    assert pickle.loads(pickle.dumps(QuestionError(*QUESTIONS))).questions == QUESTIONS
