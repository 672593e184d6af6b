"""The record of a conversion as plain data: sent to MLflow at once, or kept beside the report and sent later."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

from ast2hf.config import Config
from ast2hf.huggingface import folder, weights
from ast2hf.report import page, plots
from ast2hf.report.report import INTERRUPTED, Comparison, Report
from ast2hf.report.settings import settings

UNSENT = "unsent_record.json"

MAX_PARAM = 6000
"""Characters of a parameter's value; MLflow cuts or refuses longer ones."""


@dataclass(frozen=True)
class Record:
    """One MLflow run. Times in milliseconds since the epoch; ``metrics``: name, value, step.

    ``parent``: the sweep's run. ``key`` is the record's own, so that one that is sent twice is kept once.
    """

    key: str
    name: str
    parent: str | None
    status: str
    started: int
    ended: int
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    tags: dict[str, str]
    artifacts: list[str]


def build(
    config: Config, report: Report, run_folder: Path, target: Path | None, started: float, name: str, parent: str | None
) -> Record:
    """``target``: the published folder; ``started``: seconds since the epoch. Draws the plot into ``run_folder``.

    Raises OutputError.
    """
    artifacts = [run_folder / folder.REPORT, run_folder / page.PAGE]
    if report.blocks:
        artifacts.append(plots.differences(report, run_folder / "differences.png"))
    if target is not None:
        artifacts.append(target / folder.CARD)
        if config.tracking.log_weights:
            artifacts.append(target / weights.FILENAME)
    status = "FINISHED" if report.status == "passed" else "KILLED" if report.error == INTERRUPTED else "FAILED"
    return Record(
        key=uuid.uuid4().hex,
        name=name,
        parent=parent,
        status=status,
        started=int(started * 1000),
        ended=int(time.time() * 1000),
        params={key: value[:MAX_PARAM] for key, value in settings(config).items()},
        metrics=list(_metrics(report)),
        tags=_tags(report),
        artifacts=[str(path) for path in artifacts],
    )


def keep(record: Record, run_folder: Path) -> None:
    """Write what could not be sent. Raises OutputError."""
    folder.write_json(run_folder / UNSENT, asdict(record))


def unsent(outputs: Path) -> Iterator[tuple[Path, Record]]:
    """The records under ``outputs`` that are still to be sent, oldest first."""
    paths = [*outputs.glob(f"runs/*/{UNSENT}"), *outputs.glob(f"multiruns/*/*/{UNSENT}")]
    for path in sorted(paths, key=lambda p: p.stat().st_mtime):
        yield path, Record(**json.loads(path.read_text(encoding="utf-8")))


def _tags(report: Report) -> dict[str, str]:
    tags = {f"version.{name}": value for name, value in report.environment.items()}
    tags |= {"model": report.model, "status": report.status, "device": str(report.device), "dtype": report.dtype}
    tags |= {f"source.{name}": str(value) for name, value in report.source.items()}
    if report.error:
        tags["error"] = report.error
    if report.first_divergence:
        tags["first_divergence"] = report.first_divergence
    return tags


def _metrics(report: Report) -> Iterator[tuple[str, float, int]]:
    """Every difference, tolerance and stage time. What is not finite cannot be stored; the report has it."""
    found = [(name, value, 0) for name, value in _numbers(report)]
    for step, block in enumerate(report.blocks):
        found.append(("block_max_abs_diff", block.max_abs_diff, step))
        found.append(("block_relative_diff", block.relative_diff, step))
    return (metric for metric in found if isfinite(metric[1]))


def _numbers(report: Report) -> Iterator[tuple[str, float]]:
    for name, check in report.checks.items():
        yield f"{name}.passed", float(check.status == "passed")
        for key, value in asdict(check).items():
            if isinstance(value, int | float):
                yield f"{name}.{key}", float(value)
        if isinstance(check, Comparison) and check.max_abs_diff is not None and check.atol:
            yield f"{name}.diff_over_tolerance", check.max_abs_diff / check.atol
    for stage, seconds in report.timings_s.items():
        yield f"seconds.{stage}", seconds
