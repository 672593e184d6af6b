"""The pictures of a conversion and of a sweep. Names from outside are never read as formulas (``parse_math``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, Protocol

from ast2hf.errors import printable
from ast2hf.results import BLOCK_RTOL, LOGITS, Block, CheckResult, Figures, Report

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter
    from numpy.typing import NDArray

# The axis, and the rounding of one float32 operation.
_FLOOR, _CEILING = 1e-9, 10.0
_FLOAT32 = 2.0**-23

# Medium tones that are distinguishable and legible on white and on black.
GOOD, BAD, LINE = "#3d87c9", "#dd4f45", "#909090"

_BINS = 41

_MAX_LABEL = 72
"""Characters of a job's name that fit the width of the picture."""


class Job(Protocol):
    """One job of a sweep. ``checks``: largest difference and absolute tolerance, by the name of the check."""

    @property
    def number(self) -> int: ...
    @property
    def model(self) -> str: ...
    @property
    def code(self) -> int: ...
    @property
    def overrides(self) -> Sequence[str]: ...
    @property
    def checks(self) -> Mapping[str, tuple[float | None, float | None]]: ...


def shown_check(checks: Mapping[str, tuple[float | None, float | None]]) -> str | None:
    """The name of the check shown for a job: that of the logits, else the last one that compared values."""
    measured = [name for name, (found, atol) in checks.items() if found is not None and atol]
    return LOGITS if LOGITS in measured else next(reversed(measured), None)


def blocks(report: Report) -> Figure:
    """The relative difference after each block, with the rounding of float32 for comparison; as wide as a phone."""
    figure = new_figure(5.4, 3.3)
    _blocks(figure.add_subplot(), report.blocks)
    return figure


def _blocks(axes: Axes, found: Sequence[Block]) -> None:
    names = [printable(block.name.removeprefix("blocks."), 24) for block in found]
    # A logarithmic axis has no zero and no infinity: they are drawn at its ends; NaN like infinity.
    values = [min(max(b.relative_diff, _FLOOR), _CEILING) if b.relative_diff >= 0 else _CEILING for b in found]
    axes.bar(range(len(names)), values, color=[BAD if v > BLOCK_RTOL else GOOD for v in values])
    for place, block in enumerate(found):
        if block.relative_diff == 0:
            axes.text(place, _FLOOR * 1.3, "0", ha="center", color=LINE)
    axes.axhline(_FLOAT32, color=LINE, linestyle="--", linewidth=1)
    axes.annotate("rounding of float32", (0, _FLOAT32), xytext=(2, 3), textcoords="offset points")
    axes.set_yscale("log")
    axes.set_ylim(_FLOOR, max(1e-4, *values) * 2)
    axes.set_xlabel("output of the embeddings, the blocks, the last norm and the head")
    axes.set_ylabel("relative difference")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)


def histogram(figures: Figures, logits: CheckResult) -> Figure | None:
    """A histogram of converted - original over all logits; None if no difference is finite.

    With the tolerance of the check, if it was made.
    """
    import numpy as np

    if figures.original is None or figures.converted is None:
        return None
    original, converted = figures.original.astype(np.float64), figures.converted.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = converted - original
    finite = np.isfinite(difference)
    if not finite.any():
        return None
    difference, atol, rtol = difference[finite], logits.atol or 0.0, logits.tolerance.get("rtol", 0.0)
    within = abs(difference) <= atol + rtol * abs(original[finite])
    edge = max(float(abs(difference).max()), atol) * 1.08 or 1.0
    figure = new_figure(5.4, 3.3)
    axes = figure.add_subplot()
    axes.set_ylabel("logits")
    axes.xaxis.set_major_formatter(_scientific())
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("converted \N{MINUS SIGN} original")
    if logits.atol is None:
        axes.hist(difference, bins=_BINS, range=(-edge, edge), color=LINE)
        return figure
    axes.hist(
        [difference[within], difference[~within]],
        bins=_BINS, range=(-edge, edge), stacked=True, color=[GOOD, BAD],
        label=[f"within the tolerance: {within.sum()}", f"over it: {(~within).sum()}"],
    )  # fmt: skip
    for sign in (-1, 1):
        axes.axvline(sign * atol, color=LINE, linestyle="--", linewidth=1)
    of_zero = ", the tolerance of a logit of 0" if rtol else ""
    axes.set_xlabel(f"converted \N{MINUS SIGN} original (dashed: ±{atol:.0e}{of_zero})")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), handlelength=1)
    return figure


def spectrogram(features: NDArray[np.float32], frame_shift: float, *, small: bool = False) -> Figure:
    """The ``features`` of a clip, (frames, bins); ``frame_shift`` in milliseconds. ``small``: one of many."""
    frames, bins = features.shape
    figure = new_figure(*((5.4, 1.5) if small else (7.5, 2.4)))
    axes = figure.add_subplot()
    extent = (0, frames * frame_shift / 1000, 0, bins)
    # A small one keeps only as many points as are visible: ten of them in full would be megabytes.
    points = "auto" if small else "none"
    axes.imshow(features.T, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation=points)
    axes.set_xlabel("seconds")
    axes.set_ylabel("mel bin")
    return figure


def sweep(jobs: Sequence[Job]) -> Figure | None:
    """One line per job: the largest difference of a check as a dot, its tolerance as a bar.

    None if no job measured a check that has a tolerance.
    """
    shown = [(job, name) for job in jobs if (name := shown_check(job.checks))]
    if not shown:
        return None
    from matplotlib.ticker import NullFormatter

    measured = [v for job, name in shown for v in job.checks[name] if v and isfinite(v)]
    # Whole decades: only these are labelled, since labels between them would overlap.
    low, high = 10.0 ** floor(log10(min(measured) / 2)), 10.0 ** ceil(log10(max(measured) * 1.5))
    figure = new_figure(5.4, 0.9 + 0.48 * len(shown))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for place, (job, name) in enumerate(shown):
        found, atol = job.checks[name]
        _job(axes, place, found or 0.0, atol or low, BAD if job.code else GOOD)
        other = [o for o in job.overrides if not o.startswith("model=")] + ([name] if name != LOGITS else [])
        axes.text(
            # Above its line: beside it, names would take half the width of a phone.
            0.01, place - 0.28, printable(" ".join([str(job.number), job.model, *other]), _MAX_LABEL),
            transform=axes.get_yaxis_transform(), fontsize=9, parse_math=False, in_layout=False,
        )  # fmt: skip
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(shown) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    what = "the logits" if all(name == LOGITS for _, name in shown) else "the check named"
    axes.set_xlabel(f"largest difference of {what} (dot) and its absolute tolerance (bar)")
    return figure


def _job(axes: Axes, place: int, found: float, atol: float, colour: str) -> None:
    low, high = axes.get_xlim()
    # A logarithmic axis has no zero and nothing that is not finite: they are drawn at its ends.
    dot = min(max(found, low), high) if isfinite(found) else high
    axes.plot([low, dot], [place, place], color=colour, linewidth=1.5, alpha=0.5)
    axes.plot(dot, place, "o", color=colour, clip_on=False)
    axes.plot(atol, place, "|", color=LINE, markersize=9, markeredgewidth=2)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _scientific() -> Formatter:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:.0e}" if value else "0")
