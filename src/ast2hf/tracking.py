"""The record of a conversion in MLflow. The only module that imports mlflow.

Everything is sent at the end, when it is known: no run is left open by a run that dies.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ast2hf.config import Config, Tracking
from ast2hf.errors import TrackingError, printable
from ast2hf.huggingface import folder, weights
from ast2hf.report import page, plots
from ast2hf.report.report import INTERRUPTED, Comparison, Report
from ast2hf.report.settings import settings

MAX_PARAM = 6000
"""Characters of a parameter's value; MLflow cuts or refuses longer ones."""

_PARENT_TAG = "mlflow.parentRunId"

_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default waits four minutes for a dead server
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Conversion:
    """What is recorded. ``target``: the published folder; ``started``: epoch seconds; ``parent``: the sweep's run."""

    config: Config
    report: Report
    run_folder: Path
    target: Path | None
    started: float
    name: str
    parent: str | None = None


def record(conversion: Conversion) -> str:
    """Record one conversion as one run; return its address. Raises TrackingError."""
    with _errors_told("the conversion"):
        return _record(conversion)


def start_sweep(tracking: Tracking, outputs: str, name: str) -> str:
    """Begin the run that those of a sweep's jobs are nested in; return its id. Raises TrackingError."""
    with _errors_told("the sweep"):
        client = _client(tracking)
        return str(client.create_run(_experiment(client, tracking, outputs), run_name=name).info.run_id)


def finish_sweep(
    tracking: Tracking, run_id: str, files: Sequence[Path], metrics: Mapping[str, float], passed: bool
) -> str:
    """Close the run of a sweep with its table; return its address. Raises TrackingError."""
    with _errors_told("the sweep"):
        client = _client(tracking)
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        for path in files:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id, status="FINISHED" if passed else "FAILED")
        return _address(tracking, client.get_run(run_id).info.experiment_id, run_id)


@contextmanager
def _errors_told(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # mlflow lets the errors of its stores and clients through
        raise TrackingError(
            f"{what} could not be recorded in MLflow ({printable(type(error).__name__)}: {printable(error)})",
            "check tracking.uri, or switch tracking=off; the report is in the run folder",
        ) from error


def _client(tracking: Tracking) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)  # inherited, it would make a new run resume another
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return mlflow.MlflowClient(tracking_uri=tracking.uri)


def _record(conversion: Conversion) -> str:
    config, report, run_folder, target = conversion.config, conversion.report, conversion.run_folder, conversion.target
    client = _client(config.tracking)
    experiment = _experiment(client, config.tracking, config.paths.outputs)
    tags = _tags(report) | ({_PARENT_TAG: conversion.parent} if conversion.parent else {})
    start = int(conversion.started * 1000)
    run_id = client.create_run(experiment, start_time=start, run_name=conversion.name, tags=tags).info.run_id
    status = "FAILED"
    try:
        client.log_batch(run_id, metrics=list(_metrics(report)), params=list(_params(config)))
        with tempfile.TemporaryDirectory(prefix="plot-", dir=run_folder) as scratch:
            if report.blocks:
                client.log_artifact(run_id, str(plots.differences(report, Path(scratch) / "differences.png")))
        client.log_artifact(run_id, str(run_folder / folder.REPORT))
        client.log_artifact(run_id, str(run_folder / page.PAGE))
        if target is not None:
            client.log_artifact(run_id, str(target / folder.CARD))
            if config.tracking.log_weights:
                client.log_artifact(run_id, str(target / weights.FILENAME))
        status = "FINISHED" if report.status == "passed" else "KILLED" if report.error == INTERRUPTED else "FAILED"
    finally:
        client.set_terminated(run_id, status=status)
    return _address(config.tracking, experiment, run_id)


def _experiment(client: Any, tracking: Tracking, outputs: str) -> str:
    found = client.get_experiment_by_name(tracking.experiment)
    if found is not None:
        return str(found.experiment_id)
    local = urlsplit(tracking.uri or "").scheme not in ("http", "https")
    artifacts = (Path(outputs).expanduser().absolute() / "mlartifacts").as_uri() if local else None
    return str(client.create_experiment(tracking.experiment, artifact_location=artifacts))


def _address(tracking: Tracking, experiment: str, run_id: str) -> str:
    uri = str(tracking.uri)
    if urlsplit(uri).scheme in ("http", "https"):
        return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"
    return f"mlflow ui --backend-store-uri {uri}  then  http://127.0.0.1:5000/#/experiments/{experiment}/runs/{run_id}"


def _tags(report: Report) -> dict[str, str]:
    tags = {f"version.{name}": value for name, value in report.environment.items()}
    tags |= {"model": report.model, "status": report.status, "device": str(report.device), "dtype": report.dtype}
    tags |= {f"source.{name}": str(value) for name, value in report.source.items()}
    if report.error:
        tags["error"] = report.error
    if report.first_divergence:
        tags["first_divergence"] = report.first_divergence
    return tags


def _params(config: Config) -> Iterator[Any]:
    from mlflow.entities import Param

    for name, value in settings(config).items():
        yield Param(name, value[:MAX_PARAM])


def _metrics(report: Report) -> Iterator[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for name, value in _numbers(report):
        yield Metric(name, value, now, 0)
    for step, block in enumerate(report.blocks):
        for name, value in (("block_max_abs_diff", block.max_abs_diff), ("block_relative_diff", block.relative_diff)):
            if isfinite(value):
                yield Metric(name, value, now, step)


def _numbers(report: Report) -> Iterator[tuple[str, float]]:
    """Every difference, tolerance and stage time. What is not finite cannot be stored; the report has it."""
    for name, check in report.checks.items():
        yield f"{name}.passed", float(check.status == "passed")
        values = {k: v for k, v in asdict(check).items() if isinstance(v, int | float)}
        for key, value in values.items():
            if isfinite(value):
                yield f"{name}.{key}", float(value)
        if isinstance(check, Comparison) and check.max_abs_diff is not None and check.atol:
            ratio = check.max_abs_diff / check.atol
            if isfinite(ratio):
                yield f"{name}.diff_over_tolerance", ratio
    for stage, seconds in report.timings_s.items():
        yield f"seconds.{stage}", seconds
