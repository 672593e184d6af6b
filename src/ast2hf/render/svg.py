"""A figure of matplotlib as SVG inside a page: in the page's text colour, and without references to the outside."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

_INK = "#010203"
"""Placeholder for the page's text colour, which matplotlib cannot express."""

_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
}

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline(draw: Callable[[], Figure | None], name: str) -> str | None:
    """What ``draw`` draws as ``<svg>…</svg>``, or None if there is nothing to draw.

    ``name``: what it shows. Ids within depend on it, so that no two pictures of a page mix.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has fonts of its own
        figure = draw()
        if figure is None:
            return None
        FigureCanvasSVG(figure)
        figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    text = file.getvalue()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:xmlns(?::\w+)?|version)="[^"]*"', "", text)  # in HTML the parser knows them
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)  # the page decides
    text = re.sub(r'(<g) id="[\w.]+"', r"\1", text)  # the same in every figure, and nothing refers to them
    return text.replace(_INK, "currentColor").replace("<svg ", f'<svg role="img" aria-label="{escape(name)}" ', 1)


def markup(draw: Callable[[], Figure | None], name: str) -> Markup | None:
    """The same for a template. matplotlib has escaped the text in it."""
    from markupsafe import Markup

    picture = inline(draw, name)
    return None if picture is None else Markup(picture)
