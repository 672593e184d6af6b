"""The record of a conversion as plain data: sent to MLflow at once, or kept beside the report and sent later."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path

from ast2hf.config import Config
from ast2hf.huggingface import folder
from ast2hf.report import page, plots
from ast2hf.report.report import INTERRUPTED, Comparison, Report
from ast2hf.report.settings import settings
from ast2hf.tracking.record import MlflowRecord, ProvedModel

Record = MlflowRecord

UNSENT = "unsent_record.json"

MAX_PARAM = 6000
"""Characters of a parameter's value; MLflow cuts or refuses longer ones."""


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
    proved = target is not None and report.status == "passed"
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
        model=ProvedModel(str(target), report.files) if proved and config.tracking.log_model else None,
    )


def of_sweep(folder: Path) -> Record:
    """The record of a sweep that has begun; as it stands, it tells of one that was ended."""
    now = int(time.time() * 1000)
    return Record(uuid.uuid4().hex, folder.name, None, "KILLED", now, now, {}, [], {}, [])


def closed(record: Record, passed: bool, metrics: Mapping[str, float], artifacts: Sequence[Path]) -> Record:
    """The record of a sweep at its end."""
    return replace(
        record,
        status="FINISHED" if passed else "FAILED",
        ended=int(time.time() * 1000),
        metrics=[(name, value, 0) for name, value in metrics.items()],
        artifacts=[str(path) for path in artifacts],
    )


def keep(record: Record, run_folder: Path) -> Path:
    """Write what is to be sent; return the path. Raises OutputError."""
    run_folder.mkdir(parents=True, exist_ok=True)  # a sweep's, before its first job
    path = run_folder / UNSENT
    folder.write_json(path, asdict(record))
    return path


def unsent(outputs: Path) -> list[Path]:
    """Where the records under ``outputs`` are that are still to be sent: sweeps before their jobs, oldest first."""
    sweeps, jobs = outputs.glob(f"multiruns/*/{UNSENT}"), outputs.glob(f"multiruns/*/*/{UNSENT}")
    return [*sorted(sweeps), *sorted([*outputs.glob(f"runs/*/{UNSENT}"), *jobs], key=lambda p: p.stat().st_mtime)]


def read(path: Path) -> Record:
    told = json.loads(path.read_text(encoding="utf-8"))
    model = told.pop("model")
    return Record(**told, model=ProvedModel(**model) if model else None)


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
