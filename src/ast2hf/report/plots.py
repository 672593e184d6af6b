"""The pictures of a conversion and of a sweep. Names from outside are never read as formulas (``parse_math``)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isfinite, log10
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.errors import printable
from ast2hf.huggingface.folder import writing
from ast2hf.report.evidence import Evidence
from ast2hf.report.report import Block, Logits, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

    from ast2hf.sweep.job import Job

# The axis, the rounding of one float32 operation, and from where a difference is more than rounding.
_FLOOR, _CEILING = 1e-9, 10.0
_FLOAT32 = 2.0**-23
_DIVERGED = 1e-5

# Tones of middle lightness, to be told apart and read on white and on black.
GOOD, BAD, LINE = "#3d87c9", "#dd4f45", "#909090"

_BINS = 41


def differences(report: Report, path: Path) -> Path:
    """Write a PNG of the relative difference after each block, with the rounding of float32 as a scale.

    Raises OutputError.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(8, 4)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _blocks(axes, report.blocks)
    axes.set_title(f"{report.model}: converted against original", fontsize=11, parse_math=False)
    with writing(path):
        figure.savefig(path, dpi=120)
    return path


def blocks(report: Report) -> Figure:
    """The same for the page, at the width of a phone."""
    figure = _figure(5.4, 3.3)
    _blocks(figure.add_subplot(), report.blocks)
    return figure


def _blocks(axes: Axes, found: Sequence[Block]) -> None:
    names = [block.name.removeprefix("blocks.") for block in found]
    # Zero and infinity have no place on a logarithmic axis: they are drawn at its ends; NaN as infinity.
    values = [min(max(b.relative_diff, _FLOOR), _CEILING) if b.relative_diff >= 0 else _CEILING for b in found]
    axes.bar(range(len(names)), values, color=[BAD if v > _DIVERGED else GOOD for v in values])
    for place, block in enumerate(found):
        if block.relative_diff == 0:
            axes.text(place, _FLOOR * 1.3, "0", ha="center", color=LINE)
    axes.axhline(_FLOAT32, color=LINE, linestyle="--", linewidth=1)
    axes.annotate("rounding of float32", (0, _FLOAT32), xytext=(2, 3), textcoords="offset points")
    axes.set_yscale("log")
    axes.set_ylim(_FLOOR, max(1e-4, *values) * 2)
    axes.set_xlabel("output of the embeddings, the blocks, the last norm and the head")
    axes.set_ylabel("|difference| / |reference|")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)


def histogram(evidence: Evidence, logits: Logits) -> Figure | None:
    """Of converted - original over all logits, with the tolerance. None where no difference is finite."""
    import numpy as np

    if evidence.original is None or evidence.converted is None:
        return None
    original, converted = evidence.original.astype(np.float64), evidence.converted.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = converted - original
    finite = np.isfinite(difference)
    if not finite.any():
        return None
    difference, atol, rtol = difference[finite], logits.atol or 0.0, logits.rtol or 0.0
    within = abs(difference) <= atol + rtol * abs(original[finite])
    edge = max(float(abs(difference).max()), atol) * 1.08 or 1.0
    figure = _figure(5.4, 3.3)
    axes = figure.add_subplot()
    axes.hist(
        [difference[within], difference[~within]],
        bins=_BINS, range=(-edge, edge), stacked=True, color=[GOOD, BAD],
        label=[f"within the tolerance: {within.sum()}", f"over it: {(~within).sum()}"],
    )  # fmt: skip
    for sign in (-1, 1):
        axes.axvline(sign * atol, color=LINE, linestyle="--", linewidth=1)
    axes.set_xlabel(f"converted \N{MINUS SIGN} original (dashed: ±{atol:.0e})")
    axes.set_ylabel("logits")
    axes.xaxis.set_major_formatter(_scientific())
    axes.locator_params(axis="x", nbins=5)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), handlelength=1)
    return figure


def spectrogram(evidence: Evidence, frame_shift: float) -> Figure:
    """Of the features; ``frame_shift`` in milliseconds."""
    frames, bins = evidence.features.shape
    figure = _figure(7.5, 2.4)
    axes = figure.add_subplot()
    extent = (0, frames * frame_shift / 1000, 0, bins)
    axes.imshow(evidence.features.T, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="none")
    axes.set_xlabel("seconds")
    axes.set_ylabel("mel bin")
    return figure


def sweep(jobs: Sequence[Job]) -> Figure | None:
    """One line per job: max |diff| of the logits as a dot, the tolerance as a bar. None where nothing was measured."""
    shown = [job for job in jobs if "logits" in job.measured and job.tolerances.get("logits")]
    if not shown:
        return None
    from matplotlib.ticker import NullFormatter

    measured = [v for job in shown for v in (job.measured["logits"], job.tolerances["logits"]) if v and isfinite(v)]
    # Whole decades: only these are labelled, since labels between them would lie on each other.
    low, high = 10.0 ** floor(log10(min(measured) / 2)), 10.0 ** ceil(log10(max(measured) * 1.5))
    figure = _figure(5.4, 0.9 + 0.48 * len(shown))
    axes = figure.add_subplot()
    for place, job in enumerate(shown):
        # Zero and what is not finite have no place on a logarithmic axis: they are drawn at its ends.
        measure = job.measured["logits"]
        found = min(max(measure, low), high) if isfinite(measure) else high
        colour = BAD if job.code else GOOD
        axes.plot([low, found], [place, place], color=colour, linewidth=1.5, alpha=0.5)
        axes.plot(found, place, "o", color=colour, clip_on=False)
        axes.plot(job.tolerances["logits"], place, "|", color=LINE, markersize=9, markeredgewidth=2)
        told = " ".join(o for o in job.overrides if not o.startswith("model="))
        axes.text(
            # Above its line: beside it, names would take half the width of a phone.
            0.01, place - 0.28, printable(f"{job.number} {job.model} {told}", 72),
            transform=axes.get_yaxis_transform(), fontsize=9, parse_math=False, in_layout=False,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(low, high)
    axes.set_ylim(len(shown) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("max |diff| of the logits (dot) and its tolerance (bar)")
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _scientific() -> Formatter:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:.0e}" if value else "0")
