"""The templates of this folder."""

from __future__ import annotations

import re
from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from ast2hf.errors import printable

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_MARKDOWN = re.compile(r"([\\`*\[\]|~$#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""Characters special in Markdown; ``$`` starts mathematics on the Hub, ``_`` within a word is plain."""

_LONG = 400


def html(name: str) -> Template:
    """Everything put into it is escaped."""
    environment = _environment(autoescape=True)
    environment.filters |= {"printable": _shown, "percent": _percent}
    return environment.get_template(name)


def markdown(name: str) -> Template:
    """Untrusted values must pass the filter ``cell``."""
    environment = _environment(autoescape=False)
    environment.filters["cell"] = cell
    return environment.get_template(name)


def cell(value: object) -> str:
    """``value`` as one cell of a Markdown table or part of a line of text, without formatting and HTML."""
    return _MARKDOWN.sub(r"\\\1", escape(printable(value, _LONG), quote=False))


def _environment(autoescape: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("ast2hf", "render"),
        undefined=StrictUndefined,
        autoescape=autoescape,
        keep_trailing_newline=True,
    )


def _shown(value: object, limit: int = _LONG) -> str:
    return printable(value, limit)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if isfinite(share) else "0"
