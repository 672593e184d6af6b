"""The text of ``--help``, made without Hydra, whose own listing of the groups takes seconds."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from ast2hf.cli.arguments import config_folders

_WIDTH = 110


def is_requested(arguments: Sequence[str]) -> bool:
    return "--help" in arguments or "-h" in arguments


def show(arguments: Sequence[str]) -> None:
    """Print the help. ``arguments`` may name another configuration folder with ``--config-dir``."""
    text = Path(__file__).with_name("help.txt").read_text(encoding="utf-8")
    print(text.replace("{program}", program()).replace("{groups}", "\n".join(_groups(arguments))), end="")


def program() -> str:
    """The command as the user typed it."""
    name = Path(sys.argv[0]).name
    return f"python {name}" if name.endswith(".py") else name


def _groups(arguments: Sequence[str]) -> Iterator[str]:
    choices: dict[str, set[str]] = {}
    for folder in config_folders(arguments):
        for path in folder.glob("*/*.yaml"):
            choices.setdefault(path.parent.name, set()).add(path.stem)
    for group in sorted(choices):
        line = f"  {group:<13} {', '.join(sorted(choices[group]))}"
        yield from textwrap.wrap(line, _WIDTH, subsequent_indent=" " * 16, break_on_hyphens=False)
