import logging

from ast2hf.cli.logs import Formatter


def line(message, exc_info=None):
    record = logging.LogRecord("ast2hf", logging.INFO, "", 0, message, None, exc_info)
    return Formatter("[%(levelname)s] %(message)s").format(record)


def test_a_message_is_one_line_without_colours_and_secrets():
    assert line("a\nb \x1b[31m http://u:p@h/?k=v") == r"[INFO] a\nb \x1b[31m http://h/?…"


def test_a_traceback_has_its_lines_and_no_secrets():
    try:
        raise ValueError("GET http://u:p@h/?k=v \x1b[31m")
    except ValueError as error:
        shown = line("failed", (type(error), error, error.__traceback__))
    first, *_, last = shown.splitlines()
    assert first == "[INFO] failed"
    assert last == r"ValueError: GET http://h/?… \x1b[31m"
