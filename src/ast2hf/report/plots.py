"""The difference from the reference, block by block, as a picture."""

from __future__ import annotations

from pathlib import Path

from ast2hf.report.report import Report


def differences(report: Report, path: Path) -> Path:
    """Write a PNG of the relative difference after each block, with the rounding of float32 as a scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [block.name.removeprefix("blocks.") for block in report.blocks]
    # Zero has no place on a logarithmic axis: draw it at the bottom.
    values = [max(block.relative_diff, _FLOOR) for block in report.blocks]
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.bar(names, values, color=["tab:red" if v > _DIVERGED else "tab:blue" for v in values])
    axes.axhline(_FLOAT32, color="gray", linestyle="--", linewidth=1)
    axes.annotate("rounding of float32", (0, _FLOAT32), xytext=(2, 3), textcoords="offset points", color="gray")
    axes.set_yscale("log")
    axes.set_ylim(bottom=_FLOOR)
    axes.set_xlabel("output of")
    axes.set_ylabel("|difference| / |reference|")
    axes.set_title(f"{report.model}: converted against original", fontsize=11)
    axes.tick_params(axis="x", labelrotation=45)
    figure.savefig(path, dpi=120)
    return path


_FLOOR = 1e-9
_FLOAT32 = 1.2e-7
_DIVERGED = 1e-5
