"""What is measured against what, the targets, and the table of results. Nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table
from rich.text import Text

MIB = 1 << 20

_STYLES = {"met": "green", "": ""}


@dataclass(frozen=True)
class Case:
    """One row. ``against``: the key of the row that its time is divided by; the targets are upper limits."""

    key: str
    text: str
    against: str | None = None
    ratio: float | None = None
    above_imports_mib: float | None = None


CASES = (
    Case("cp", "cp of the checkpoint"),
    Case("convert", "convert: plan and write", "cp", 1.5, 64),
    Case("read", "read: open, integrity, SHA-256, alone", "cp", 1.5, 64),
    Case("read_in_run", "read: what a run waits for", "cp", 1.5),
    Case("sha", "SHA-256 of the file alone", "cp"),
    Case("both", "read and convert, overlapping as in a run", "cp", 3.0, 64),
    Case("baseline", "usual procedure, transformers 4.57"),
    Case("without", "whole command, tracking=off, without end_to_end", "baseline", 0.95),
    Case("command", "whole command, tracking=off", "baseline", 1.15),
    Case("tracked", "whole command, tracking=mlflow", "baseline", 1.4),
    Case("eight_baselines", "usual procedure, eight variants"),
    Case("eight", "eight variants in one command", "eight_baselines", 0.5),
    Case("import_hydra", "python -c 'import hydra'"),
    Case("help", "--help", "import_hydra", 3.0),
    Case("forwards", "both forwards over 48 clips, features ready"),
    Case("over_data", "proof over the 48 clips, decoding and features included", "forwards", 1.11),
    Case("one_process", "eight variants, scale=joblib, 1 process"),
    Case("two_processes", "eight variants, scale=joblib, 2 processes", "one_process"),
)


@dataclass(frozen=True)
class Measurement:
    """One repetition. Memory in bytes, None where it cannot be measured; ``above_imports`` is anonymous memory."""

    seconds: float
    peak_rss: int | None = None
    peak_anonymous: int | None = None
    above_imports: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table, from all repetitions: median and least time, largest memory, and what became of targets."""

    case: Case
    seconds: tuple[float, ...]
    ratio: float | None
    peak_rss_mib: float | None
    peak_anonymous_mib: float | None
    above_imports_mib: float | None

    @property
    def _limits(self) -> dict[str, tuple[float | None, float]]:
        """What was found and its upper limit, for each target."""
        limits = {
            "time": (self.ratio, self.case.ratio),
            "memory": (self.above_imports_mib, self.case.above_imports_mib),
        }
        return {name: (found, limit) for name, (found, limit) in limits.items() if limit is not None}

    @property
    def missed(self) -> list[str]:
        return [name for name, (found, limit) in self._limits.items() if found is not None and found > limit]

    @property
    def verdict(self) -> str:
        """Empty without a target. What could not be measured is never met."""
        if self.missed:
            return f"MISSED ({' and '.join(self.missed)})"
        unknown = [name for name, (found, _) in self._limits.items() if found is None]
        if unknown:
            return f"not measured ({' and '.join(unknown)})"
        return "met" if self._limits else ""

    def as_dict(self) -> dict[str, Any]:
        """Flat, for JSON and CSV."""
        return {
            "key": self.case.key,
            "row": self.case.text,
            "median_s": median(self.seconds),
            "min_s": min(self.seconds),
            "repetitions": len(self.seconds),
            "against": self.case.against,
            "ratio": self.ratio,
            "target_ratio": self.case.ratio,
            "target_above_imports_mib": self.case.above_imports_mib,
            "verdict": self.verdict,
            "peak_rss_mib": self.peak_rss_mib,
            "peak_anonymous_mib": self.peak_anonymous_mib,
            "above_imports_mib": self.above_imports_mib,
        }


def rows(measured: Mapping[str, Sequence[Measurement]]) -> list[Row]:
    """The rows of the cases that were measured, by key. A ratio is one of medians."""

    def time(key: str) -> float:
        return median(m.seconds for m in measured[key])

    return [
        Row(
            case,
            tuple(m.seconds for m in measured[case.key]),
            time(case.key) / time(case.against) if case.against and case.against in measured else None,
            _largest_mib([m.peak_rss for m in measured[case.key]]),
            _largest_mib([m.peak_anonymous for m in measured[case.key]]),
            _largest_mib([m.above_imports for m in measured[case.key] if case.above_imports_mib]),
        )
        for case in CASES
        if case.key in measured
    ]


def total(parts: Sequence[Measurement]) -> Measurement:
    """Several processes, one after the other, as one."""
    rss = [m.peak_rss for m in parts if m.peak_rss is not None]
    anonymous = [m.peak_anonymous for m in parts if m.peak_anonymous is not None]
    return Measurement(sum(m.seconds for m in parts), max(rss, default=None), max(anonymous, default=None))


def table(found: Sequence[Row]) -> Table:
    """For the terminal."""
    shown = Table(title="Seconds, ratios of medians, largest memory in MiB", title_justify="left")
    shown.add_column("", overflow="fold")
    for name in ("median", "min", "ratio", "target", "", "peak RSS", "anonymous", "above imports"):
        shown.add_column(name, justify="left" if name in ("target", "") else "right")
    for row in found:
        case = row.case
        ratio = f"{row.ratio:.2f} × {case.against}" if row.ratio is not None else ""
        limits = [f"≤ {case.ratio:g} ×"] if case.ratio else []
        limits += [f"≤ {case.above_imports_mib:g} MiB"] if case.above_imports_mib else []
        memory = (row.peak_rss_mib, row.peak_anonymous_mib, row.above_imports_mib)
        shown.add_row(
            case.text, f"{median(row.seconds):.3f}", f"{min(row.seconds):.3f}", ratio, ", ".join(limits),
            Text(row.verdict, style=_STYLES.get(row.verdict, "bold red" if row.missed else "yellow")),
            *("" if value is None else f"{value:.0f}" for value in memory),
        )  # fmt: skip
    return shown


def _largest_mib(values: Sequence[int | None]) -> float | None:
    known = [value / MIB for value in values if value is not None]
    return max(known, default=None)
