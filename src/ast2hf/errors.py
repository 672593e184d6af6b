"""Errors that a user can act on: a cause, a remedy, and the exit code of the process.

Any other exception is a bug in ast2hf and exits with 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ast2hf.secrets import redact

if TYPE_CHECKING:
    from ast2hf.results import Report

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_INVISIBLE = re.compile(
    # Direction: U+202E displays the following text backwards, so that one name looks like another.
    "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    # No width: two different names look the same.
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_SHOWN = 200


def printable(text: object, limit: int = _SHOWN) -> str:
    """``text`` on one line: invisible characters escaped, secrets removed, cut to ``limit``. For all untrusted text."""
    shown = _INVISIBLE.sub(_escape, _CONTROL.sub(_escape, redact(str(text))))
    return shown if len(shown) <= limit else shown[:limit] + "…"


def first_line(error: BaseException) -> str:
    """The first line of the message of ``error``."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


def invisible(text: str) -> str | None:
    """The invisible characters in ``text``, in words: control characters, or the first of another kind; or None."""
    if _CONTROL.search(text):
        return "control characters"
    found = _INVISIBLE.search(text)
    return None if found is None else f"an invisible character (U+{ord(found.group()):04X})"


def is_printable(text: str) -> bool:
    """Whether ``text`` has neither control characters nor other invisible ones."""
    return invisible(text) is None


class Ast2hfError(Exception):
    """Base of all expected errors. ``cause`` says what is wrong, ``remedy`` what to do about it.

    Both are phrases on one line without a trailing full stop, shown as ``cause; remedy``.
    """

    exit_code = 1

    report: Report | None = None
    """The report of the failed conversion, as far as it got; set on errors raised by :mod:`ast2hf.api`."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{printable(self.cause, 4000)}; {printable(self.remedy, 1000)}"


class ConfigurationError(Ast2hfError):
    """A wrong key, value, choice or command line."""

    exit_code = 2


@dataclass(frozen=True)
class Choice:
    """One answer to a question. ``override``: what to add to the command line; ``evidence``: what supports it."""

    override: str
    meaning: str
    evidence: str = ""

    def __str__(self) -> str:
        return f"{self.override}: {self.meaning}" + (f" ({self.evidence})" if self.evidence else "")


@dataclass(frozen=True)
class Question:
    """A question that only the user can answer: ``open`` states it; ``choices`` are the answers, likeliest first.

    ``placeholder``: takes the place of the answer in a command, and is refused if it is not replaced.
    """

    open: str
    choices: tuple[Choice, ...]
    placeholder: str = ""

    def shown(self) -> tuple[Choice, ...]:
        """The choices to show; if there are many, those supported by evidence."""
        likely = tuple(choice for choice in self.choices if choice.evidence)
        return self.choices if len(self.choices) <= SHOWN_CHOICES else (likely or self.choices)[:SHOWN_CHOICES]


SHOWN_CHOICES = 8
"""Choices shown per question; task=inspect shows all."""

CHOOSE = "CHOOSE"
"""The placeholder in a command for a value that only the user knows."""


class QuestionError(ConfigurationError):
    """The file does not determine everything. Each of ``questions`` must be answered; nothing is guessed."""

    def __init__(self, *questions: Question) -> None:
        answers = (" or ".join(choice.override for choice in question.shown()) for question in questions)
        super().__init__(", and ".join(question.open for question in questions), f"set {', and '.join(answers)}")
        self.questions = questions

    def __reduce__(self) -> tuple[type[QuestionError], tuple[Question, ...]]:
        return type(self), self.questions

    @property
    def question(self) -> Question:
        """The first of them."""
        return self.questions[0]

    def lines(self) -> Iterator[str]:
        """The questions on the first line, then each answer on a separate line."""
        yield f"{printable(self.cause, 4000)}; add one of" + (" each group:" if len(self.questions) > 1 else ":")
        for number, question in enumerate(self.questions):
            if number:
                yield "  and"
            yield from (f"  {printable(choice, 400)}" for choice in question.shown())
            if left := len(question.choices) - len(question.shown()):
                yield f"  or one of {left} more, shown by task=inspect"


class InputError(Ast2hfError):
    """The checkpoint, the labels or the audio cannot be used."""

    exit_code = 3


class DownloadError(Ast2hfError):
    """Something could not be downloaded."""

    exit_code = 4


class VerificationError(Ast2hfError):
    """The proof failed: the converted model does not compute the original function."""

    exit_code = 5


class OutputError(Ast2hfError):
    """The model folder cannot be written or published."""

    exit_code = 6


class TrackingError(Ast2hfError):
    """The conversion could not be recorded."""

    exit_code = 7


class HubError(Ast2hfError):
    """The model could not be pushed to the Hugging Face Hub; the folder is still published on this machine."""

    exit_code = 8
