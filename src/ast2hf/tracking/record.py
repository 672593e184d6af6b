"""A conversion as one MLflow run, in plain data: sent at once, or saved beside the report and sent later."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path

from ast2hf.output.files import write_json
from ast2hf.results import INTERRUPTED, CheckResult, Report

UNSENT = "unsent_record.json"

MAX_PARAM = 6000
"""Characters of a parameter's value; MLflow cuts or refuses longer ones."""


@dataclass(frozen=True)
class ProvedModel:
    """The published folder, and the SHA-256 of each of its files as they were proved."""

    folder: str
    files: dict[str, str]


@dataclass(frozen=True)
class MlflowRecord:
    """One MLflow run. Times in milliseconds since the epoch; ``metrics``: name, value, step.

    ``key`` identifies the record, so that sending it twice makes one run; ``parent``: the key of its sweep's record;
    ``model``: to be logged with the run.
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
    model: ProvedModel | None = None


def build(
    report: Report,
    name: str,
    started: float,
    *,
    params: Mapping[str, str],
    artifacts: Sequence[Path],
    parent: str | None = None,
    published: Path | None = None,
) -> MlflowRecord:
    """The record of a conversion that ends now.

    ``started``: seconds since the epoch; ``parent``: the key of the sweep's record; ``published``: the folder whose
    model is to be logged as well. It is only where the proof passed.
    """
    model = ProvedModel(str(published), report.files) if published and report.status == "passed" else None
    return MlflowRecord(
        key=uuid.uuid4().hex,
        name=name,
        parent=parent,
        status="FINISHED" if report.status == "passed" else "KILLED" if report.error == INTERRUPTED else "FAILED",
        started=int(started * 1000),
        ended=int(time.time() * 1000),
        params={key: value[:MAX_PARAM] for key, value in params.items()},
        metrics=list(_metrics(report)),
        tags=_tags(report),
        artifacts=[str(path) for path in artifacts],
        model=model,
    )


def start_parent(sweep_folder: Path) -> MlflowRecord:
    """The record of a sweep that begins. Sent without ever being finished, it is that of a killed one."""
    now = int(time.time() * 1000)
    return MlflowRecord(uuid.uuid4().hex, sweep_folder.name, None, "KILLED", now, now, {}, [], {}, [])


def finish_parent(
    record: MlflowRecord, passed: bool, metrics: Mapping[str, float], artifacts: Sequence[Path]
) -> MlflowRecord:
    """The record of a sweep at its end."""
    return replace(
        record,
        status="FINISHED" if passed else "FAILED",
        ended=int(time.time() * 1000),
        metrics=[(name, value, 0) for name, value in metrics.items()],
        artifacts=[str(path) for path in artifacts],
    )


def save(record: MlflowRecord, run_folder: Path) -> Path:
    """Write what is to be sent; return the path. Raises OutputError."""
    run_folder.mkdir(parents=True, exist_ok=True)  # a sweep's, before its first job
    path = run_folder / UNSENT
    write_json(path, asdict(record))
    return path


def saved(path: Path) -> MlflowRecord:
    """The record that :func:`save` wrote to ``path``."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    model = fields.pop("model")
    return MlflowRecord(**fields, model=ProvedModel(**model) if model else None)


def pending(outputs: Path) -> list[Path]:
    """The records under ``outputs`` that are still to be sent: sweeps before their jobs, oldest first."""
    sweeps, jobs = outputs.glob(f"multiruns/*/{UNSENT}"), outputs.glob(f"multiruns/*/*/{UNSENT}")
    return [*sorted(sweeps), *sorted([*outputs.glob(f"runs/*/{UNSENT}"), *jobs], key=lambda p: p.stat().st_mtime)]


def _tags(report: Report) -> dict[str, str]:
    tags = {f"version.{name}": value for name, value in report.environment.items()}
    known = {"model": report.model, "status": report.status, "family": report.family, "head": report.head}
    known |= {"device": report.device, "dtype": report.dtype, "error": report.error}
    known |= {"first_divergence": report.first_divergence}
    known |= {f"source.{name}": _text(value) for name, value in report.source.items()}
    return tags | {name: value for name, value in known.items() if value}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _metrics(report: Report) -> Iterator[tuple[str, float, int]]:
    """Every difference, tolerance and stage time. What is not finite cannot be stored; the report has it."""
    found = [(name, value, 0) for check in report.checks.values() for name, value in _of_check(check)]
    found += [(f"seconds.{stage}", seconds, 0) for stage, seconds in report.timings_s.items()]
    for step, block in enumerate(report.blocks):
        found.append(("block_max_abs_diff", block.max_abs_diff, step))
        found.append(("block_relative_diff", block.relative_diff, step))
    return (metric for metric in found if isfinite(metric[1]))


def _of_check(check: CheckResult) -> Iterator[tuple[str, float]]:
    """What ``check`` measured; a check that was not made has no metric that says it failed."""
    if check.status in ("passed", "failed"):
        yield f"{check.name}.passed", float(check.status == "passed")
    for key, value in {**check.measured, **check.tolerance}.items():
        if isinstance(value, int | float):
            yield f"{check.name}.{key}", float(value)
    if check.max_abs_diff is not None and check.atol:
        yield f"{check.name}.diff_over_tolerance", check.max_abs_diff / check.atol
