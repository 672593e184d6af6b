"""The result of an inspection as a page for people. Its command is one line, so that it can be copied."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ast2hf.errors import Question, printable
from ast2hf.results import NO_HEAD

if TYPE_CHECKING:
    from ast2hf.inspection import Inspection

_WIDTH = 110
_NAME = 12
"""Columns before the text."""

_SHOWN = 12
"""Tensors and kinds of objects that are listed."""

_VERDICTS = {
    "recognised": "recognised: it can be converted",
    "ambiguous": "ambiguous: its tensors fit several models, and only you can say which it is",
    "refused": "refused: it cannot be converted",
}

_POOLINGS = {"cls": "the mean of the two class tokens (cls)", "mean": "the mean of the patches (mean)"}


def page(found: Inspection) -> Iterator[str]:
    """The lines of the page of ``found``, whose texts come from an untrusted file."""
    yield printable(f"{found.file}: {_VERDICTS[found.verdict]}")
    for name, text in _facts(found):
        yield from _row(name, text)
    for question in found.questions:
        yield ""
        yield from _row("question", question.open)
        yield from _choices(question)
    if found.command:
        yield ""
        replaced = ", after replacing every CHOOSE" if found.to_choose else ""
        yield from _row("convert it", f"with this command{replaced}:")
        yield f"  {printable(found.command, 10_000)}"
        for question in found.to_choose:
            if question not in found.questions:
                yield from _row(question.placeholder.partition("=")[0], question.open)
                yield from _choices(question)


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    yield "file", f"{found.bytes:,} bytes, format {found.format}"
    if found.reason and found.remedy:
        yield "reason", found.reason
        yield "remedy", found.remedy
    if found.title:
        yield "family", f"{found.title} ({found.family})" if found.family else found.title
    if found.tensors:
        yield "state dict", _where(found)
        kinds = ", ".join(f"{count} {dtype}" for dtype, count in found.dtypes.items())
        yield "tensors", f"{found.tensors} ({kinds}), {found.parameters:,} numbers"
    if found.geometry:
        yield from sizes(found.geometry)
    if found.head:
        yield "head", _head(found)
    if found.pooling:
        yield "pooling", _POOLINGS.get(found.pooling, found.pooling)
    yield from (("evidence", sentence) for sentence in found.evidence)
    yield from (("note", sentence) for sentence in found.notes)
    yield from _readings(found.readings)
    yield from _left_over(found.left_over)
    if found.opaque:
        kinds = ", ".join(f"{name} ({count})" for name, count in list(found.opaque.items())[:_SHOWN])
        yield "left unread", f"{kinds}{_more(len(found.opaque))}: neither imported nor run"


def _where(found: Inspection) -> str:
    keys = "/".join(map(str, found.keys))
    where = f"under {keys}" if keys else "the file itself"
    several = len(found.state_dicts)
    others = f"; {several} in the file: {', '.join(list(found.state_dicts)[:_SHOWN])}" if several > 1 else ""
    return where + (f", names begin with {found.prefix}" if found.prefix else ", names without a prefix") + others


def sizes(geometry: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """The lines of a model's sizes, which may be known in part."""
    labels = f", {geometry['num_labels']} classes" if geometry.get("num_labels") else ""
    width = f"{geometry['hidden_size']} wide, {geometry['num_hidden_layers']} blocks, "
    yield (
        "size",
        f"{width}{geometry['num_attention_heads']} attention heads, MLP {geometry['intermediate_size']}{labels}",
    )
    patch = f"{geometry['num_mel_bins']} mel bins, patches of {geometry['patch_size']}"
    if "max_length" in geometry:
        patch += (
            f", strides {geometry['frequency_stride']} x {geometry['time_stride']} (frequency x time), "
            f"{geometry['max_length']} frames: {geometry['num_positions']} tokens"
        )
    yield "input", patch


def _head(found: Inspection) -> str:
    if found.head != NO_HEAD:
        return "a classifier"
    return f"none: {found.no_head}" if found.no_head else "none, as requested"


def _readings(readings: Sequence[Mapping[str, int]]) -> Iterator[tuple[str, str]]:
    """Every reading of the number of patches, grouped by frequency stride."""
    groups: dict[tuple[int, int, int], list[Mapping[str, int]]] = {}
    for reading in readings:
        group = reading["frequency_stride"], reading["rows"], reading["columns"]
        groups.setdefault(group, []).append(reading)
    for (stride, rows, columns), alike in sorted(groups.items()):
        times = ", ".join(
            f"{reading['time_stride']} ({_frames(reading)})"
            for reading in sorted(alike, key=lambda reading: reading["time_stride"])
        )
        yield "fits", f"frequency stride {stride}, {rows} x {columns} patches, time stride (frames): {times}"


def _frames(reading: Mapping[str, int]) -> str:
    shortest, longest = reading["shortest"], reading["longest"]
    return str(shortest) if shortest == longest else f"{shortest}-{longest}"


def _left_over(tensors: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in tensors.items():
        by_reason.setdefault(reason or "unknown", []).append(name)
    for reason, names in by_reason.items():
        yield "left over", f"{reason}: {', '.join(names[:_SHOWN])}{_more(len(names))}"


def _more(count: int) -> str:
    return f" and {count - _SHOWN} more" if count > _SHOWN else ""


def _choices(question: Question) -> Iterator[str]:
    shown = question.shown()
    for choice in shown:
        yield from textwrap.wrap(printable(choice, 400), _WIDTH, initial_indent="    ", subsequent_indent=" " * 8)
    if left := len(question.choices) - len(shown):
        yield f"    or one of {left} more: see above"


def _row(name: str, text: str) -> Iterator[str]:
    shown = printable(text, 2000)
    yield from textwrap.wrap(
        f"{name:<{_NAME}} {shown}", _WIDTH, initial_indent="  ", subsequent_indent=" " * (_NAME + 3),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
