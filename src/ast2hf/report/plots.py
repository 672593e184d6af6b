"""The difference from the reference, block by block, as a picture."""

from __future__ import annotations

from pathlib import Path

from ast2hf.report.report import Report

# The axis, the rounding of one float32 operation, and from where a difference is more than rounding.
_FLOOR, _CEILING = 1e-9, 10.0
_FLOAT32 = 2.0**-23
_DIVERGED = 1e-5


def differences(report: Report, path: Path) -> Path:
    """Write a PNG of the relative difference after each block, with the rounding of float32 as a scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [block.name.removeprefix("blocks.") for block in report.blocks]
    # Zero and infinity have no place on a logarithmic axis: they are drawn at its ends.
    values = [min(max(block.relative_diff, _FLOOR), _CEILING) for block in report.blocks]
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.bar(names, values, color=["tab:red" if v > _DIVERGED else "tab:blue" for v in values])
    for place, block in enumerate(report.blocks):
        if block.relative_diff == 0:
            axes.text(place, _FLOOR * 1.3, "0", ha="center", color="gray")
    axes.axhline(_FLOAT32, color="gray", linestyle="--", linewidth=1)
    axes.annotate("rounding of float32", (0, _FLOAT32), xytext=(2, 3), textcoords="offset points", color="gray")
    axes.set_yscale("log")
    axes.set_ylim(bottom=_FLOOR)
    axes.set_xlabel("output of the embeddings, the blocks, the last norm and the head")
    axes.set_ylabel("|difference| / |reference|")
    axes.set_title(f"{report.model}: converted against original", fontsize=11)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    figure.savefig(path, dpi=120)
    return path
