"""Runs in MLflow: one of each conversion, nested in one of its sweep.

A conversion is sent at its end, when all is known: a run that dies leaves no run open.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ast2hf.config import Tracking
from ast2hf.report.record import Record, unsent
from ast2hf.tracking.store import address, connect, errors_told, experiment_id, owner

_PARENT_TAG = "mlflow.parentRunId"
_WHOLE_TAG = "ast2hf.record"
"""The key of a record of which everything has arrived."""


def send(record: Record, tracking: Tracking, outputs: str) -> str:
    """Send ``record`` as one run; return its address. ``outputs``: where a new local store keeps its artifacts.

    Raises TrackingError; the conversion itself is not touched.
    """
    with errors_told("the conversion"):
        client = connect(tracking)
        return _send(client, experiment_id(client, tracking, outputs), record, tracking)


def replay(tracking: Tracking, outputs: str) -> int:
    """Send every record under ``outputs`` that could not be sent before, each once; return their number."""
    count = 0
    with errors_told("what was left to send"):
        for path, record in unsent(Path(outputs).expanduser()):
            client = connect(tracking)
            experiment = experiment_id(client, tracking, outputs)
            # Its file may have outlived one that was sent whole.
            if not client.search_runs([experiment], f"tags.`{_WHOLE_TAG}` = '{record.key}'"):
                _send(client, experiment, record, tracking)
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


def _send(client: Any, experiment: str, record: Record, tracking: Tracking) -> str:
    from mlflow.entities import Metric, Param

    tags = {**record.tags, **owner()}
    if record.parent is not None:
        tags[_PARENT_TAG] = record.parent
    run = client.create_run(experiment, start_time=record.started, run_name=record.name, tags=tags)
    run_id = str(run.info.run_id)
    status = "FAILED"
    try:
        metrics = [Metric(name, value, record.ended, step) for name, value, step in record.metrics]
        client.log_batch(run_id, metrics=metrics, params=[Param(*item) for item in record.params.items()])
        for path in filter(os.path.exists, record.artifacts):
            client.log_artifact(run_id, path)
        client.set_tag(run_id, _WHOLE_TAG, record.key)
        status = record.status
    finally:
        client.set_terminated(run_id, status=status, end_time=record.ended)
    return address(tracking, experiment, run_id)
