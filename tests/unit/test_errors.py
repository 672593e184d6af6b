import ast
import importlib
import itertools
import pickle
import re
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from ast2hf import errors
from ast2hf.errors import (
    Ast2hfError,
    Choice,
    InputError,
    Question,
    QuestionError,
    invisible,
    is_printable,
    printable,
)
from ast2hf.local_files import conf_folder


def test_the_remedy_is_shown_however_long_the_cause():
    shown = str(InputError("x" * 10_000 + "\x1b", "do this"))
    assert shown.endswith("…; do this")
    assert len(shown) < 5000


def test_control_characters_are_escaped():
    assert str(InputError("a\x1b[31m\x00\n", "\u2028")) == r"a\x1b[31m\x00\n; \u2028"


SIGNS = "\u202e \u202a \u2066 \u2069 \u200e \u061c \u200b \u200d \u2060 \ufeff \xad \u3164 \U000e0041"


@pytest.mark.parametrize("sign", SIGNS.split(" "))
def test_zero_width_and_direction_characters_are_escaped(sign):
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
def test_visible_characters_are_unchanged(text):
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
    assert str(error) == r"the loss is open, and a\x1b is open; set loss=bce or loss=ce, and x=1"
    assert list(error.lines()) == [
        r"the loss is open, and a\x1b is open; add one of each group:",
        "  loss=bce: several (often)",
        "  loss=ce: one",
        "  and",
        r"  x=1: y\n",
    ]


def test_one_question_has_no_other():
    assert next(QuestionError(QUESTIONS[0]).lines()) == "the loss is open; add one of:"


def test_a_question_survives_the_way_to_another_process():
    assert pickle.loads(pickle.dumps(QuestionError(*QUESTIONS))).questions == QUESTIONS


SOURCE = Path(errors.__file__).parent

KINDS = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Ast2hfError)}

NAMES = ("AST2HF", "Hugging Face", "MLflow", "HF_TOKEN", "NaN")
"""With which a cause may begin although they are capitalised."""

TRANSLATED = re.compile(
    r"(?<!there )\b(is|are) no (?!longer\b)|\bstands?\b|\btold\b|\bto be had\b|\bgoes on with\b"
    r"|\bto go on\b|\bas it must be\b|\bwhat came of\b|\bputs? in order\b|\bsuch an? \w+ (is|has)\b"
    r"|\bsays? (the|model\.)|\bsomebody\b|\banybody\b|\bnobody\b"
)
"""Phrases that are grammatical, but that no native writer would use here."""

FIRST_WORDS = set(
    """
    add apply ask begin build call check choose combine compare connect convert copy correct decode delete download drop
    enable export fix free give grant increase install keep leave list load log lower make match merge mount move name
    number open pass pick prove provide push put raise re-save read reduce remove rename repair
    replace report rerun resample
    resize restart restore retrain run save scale see select send set shorten split start stop try unpack unset update
    upgrade use wait write
    please if for on in to without it
    """.split()  # noqa: SIM905
)
"""With which a remedy may begin: an imperative, a condition for it, or ``it must be``."""

HOLE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""In place of a value that is only known at run time."""


def texts(node: ast.expr, module: types.ModuleType) -> list[str]:
    """What the expression ``node`` may give, with HOLE for each value that the source does not show."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            pieces = [texts(part.value if isinstance(part, ast.FormattedValue) else part, module) for part in parts]
            return ["".join(chosen) for chosen in itertools.product(*pieces)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in texts(left, module) for b in texts(right, module)]
        case ast.IfExp(body=body, orelse=other):
            return texts(body, module) + texts(other, module)
        case ast.Name(id=name) if isinstance(known := getattr(module, name, None), str):
            return [known]
    return [HOLE]


def raised() -> list[tuple[str, ast.Call, types.ModuleType]]:
    """Each place in the source that makes one of our errors, by file and line."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(("ast2hf", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        ours = [call for call in calls if call.func.id in KINDS - {QuestionError.__name__}]
        if ours:
            module = importlib.import_module(name)
            found += [(f"{path.relative_to(SOURCE)}:{call.lineno}", call, module) for call in ours]
    return found


def flaws(cause: str, remedy: str) -> Iterator[str]:
    """What is wrong with the form of a message."""
    for what, text in (("cause", cause), ("remedy", remedy)):
        if text.endswith((".", "!", ";", ",", " ")) or text != text.strip():
            yield f"the {what} ends in a sign or a space"
        if "  " in text or "\n" in text:
            yield f"the {what} has two spaces or a line break"
        if found := TRANSLATED.search(text):
            yield f"the {what} has {found[0]!r}"
        if len(text.replace(HOLE, "")) > 240:
            yield f"the {what} is too long to read"
    if cause[:1].isupper() and not cause.startswith(NAMES):
        yield "the cause begins with a capital"
    if "; " in cause:
        yield "the cause has the sign that separates it from the remedy"
    if not remedy.startswith(HOLE) and re.split(r"[ ,:…]", remedy)[0] not in FIRST_WORDS:
        yield "the remedy does not begin with what to do"


def test_every_message_has_the_form_cause_remedy():
    found = raised()
    assert len(found) > 150
    wrong = []
    for where, call, module in found:
        if len(call.args) != 2 or call.keywords:
            if not any(isinstance(argument, ast.Starred) for argument in call.args):
                wrong.append(f"{where}: not a cause and a remedy")
            continue
        for cause, remedy in itertools.product(*(texts(argument, module) for argument in call.args)):
            wrong += [f"{where}: {flaw}: {cause}; {remedy}" for flaw in flaws(cause, remedy)]
    assert not wrong, "\n".join(dict.fromkeys(wrong))


@pytest.mark.parametrize(
    ("cause", "remedy", "flaw"),
    [
        ("checkpoint X is no file", "use a .pth file", "is no "),
        ("index 5 stands twice", "use it once", "stands"),
        ("Index 5 is missing", "number the labels", "capital"),
        ("index 5 is missing; 6, too", "number the labels", "separates"),
        ("index 5 is missing.", "number the labels", "ends in a sign"),
        ("index 5  is missing", "number the labels", "two spaces"),
        ("index 5 is missing", "the labels", "does not begin with what to do"),
        ("index 5 is missing", "say model.family=ast", "say"),
        ("index 5 is missing " * 20, "number the labels", "too long"),
    ],
)
def test_a_message_of_another_form_is_noticed(cause, remedy, flaw):
    assert any(flaw in found for found in flaws(cause, remedy))


def test_help_and_configuration_have_no_translated_phrases():
    files = [SOURCE / "cli" / "help.txt", *conf_folder().rglob("*.yaml")]
    found = {path.name: TRANSLATED.search(path.read_text(encoding="utf-8")) for path in files}
    assert len(found) > 20
    assert {name: match[0] for name, match in found.items() if match} == {}


def test_a_message_of_the_form_has_no_flaw():
    assert list(flaws("index 5 is no longer among the 7 labels", "number the labels 0, 1, 2, …")) == []
