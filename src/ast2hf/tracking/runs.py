"""Runs in MLflow: one of each conversion, nested in one of its sweep.

A conversion is sent at its end, when all is known: a run that dies leaves no run open.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ast2hf.config import Tracking
from ast2hf.report.record import Record, unsent
from ast2hf.tracking import models
from ast2hf.tracking.store import address, connect, errors_told, experiment_id, owner

_PARENT_TAG = "mlflow.parentRunId"
_KEY_TAG = "ast2hf.record"
_WHOLE_TAG = "ast2hf.whole"
"""The key of a run's record; and, once everything of it has arrived, that it has."""


@dataclass(frozen=True)
class Sent:
    """``run``: the address of the run; ``model``: that of the registered version of its model."""

    run: str
    model: str | None


def send(record: Record, tracking: Tracking, outputs: str) -> Sent:
    """Send ``record`` as one run, and with it its model. ``outputs``: where a new local store keeps its artifacts.

    Raises TrackingError; the conversion itself is not touched.
    """
    with errors_told("the conversion"):
        client = connect(tracking)
        return _send(client, experiment_id(client, tracking, outputs), record, tracking)


def replay(tracking: Tracking, outputs: str) -> int:
    """Send every record under ``outputs`` that could not be sent before, each once; return their number."""
    count = 0
    with errors_told("what was left to send"):
        for path, record in unsent(Path(outputs)):
            client = connect(tracking)
            experiment = experiment_id(client, tracking, outputs)
            begun = client.search_runs([experiment], f"tags.`{_KEY_TAG}` = '{record.key}'")
            # Its file may have outlived one that was sent whole.
            if not begun or _WHOLE_TAG not in begun[0].data.tags:
                _send(client, experiment, record, tracking, begun[0] if begun else None)
                count += 1
            path.unlink()
    return count


def start_sweep(tracking: Tracking, outputs: str, name: str) -> str:
    """Begin the run that those of a sweep's jobs are nested in; return its id. Raises TrackingError."""
    with errors_told("the sweep"):
        client = connect(tracking)
        return str(client.create_run(experiment_id(client, tracking, outputs), run_name=name, tags=owner()).info.run_id)


def finish_sweep(
    tracking: Tracking, run_id: str, files: Sequence[Path], metrics: Mapping[str, float], passed: bool
) -> str:
    """Close the run of a sweep with its table; return its address. Raises TrackingError."""
    with errors_told("the sweep"):
        client = connect(tracking)
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        for path in files:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id, status="FINISHED" if passed else "FAILED")
        return address(tracking, client.get_run(run_id).info.experiment_id, run_id)


def _send(client: Any, experiment: str, record: Record, tracking: Tracking, begun: Any = None) -> Sent:
    """``begun``: the run of an attempt that did not come to its end. What of it has arrived is not there twice."""
    from mlflow.entities import Metric, Param

    tags = {**record.tags, **owner(), _KEY_TAG: record.key}
    if record.parent is not None:
        tags[_PARENT_TAG] = record.parent
    run = begun or client.create_run(experiment, start_time=record.started, run_name=record.name, tags=tags)
    run_id = str(run.info.run_id)
    model = None
    status = "FAILED"
    try:
        metrics = [Metric(name, value, record.ended, step) for name, value, step in record.metrics]
        client.log_batch(run_id, metrics=metrics, params=[Param(*item) for item in record.params.items()])
        for path in filter(os.path.exists, record.artifacts):
            client.log_artifact(run_id, path)
        if record.model is not None:
            model = models.register(client, experiment, run_id, record)
        status = record.status
    finally:
        client.set_terminated(run_id, status=status, end_time=record.ended)
    client.set_tag(run_id, _WHOLE_TAG, "true")  # last, so that it says of the status, too, that it has arrived
    return Sent(address(tracking, experiment, run_id), model)
