"""Runs in MLflow: one of each conversion, nested in one of its sweep.

A conversion is sent at its end, when all is known. Its record lies on disk until all of it has arrived, so that a
server that fails, or a process that is killed meanwhile, costs no record: ``replay`` goes on with the same run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ast2hf.config import Tracking
from ast2hf.errors import TrackingError, printable
from ast2hf.report import record as records
from ast2hf.report.record import Record
from ast2hf.tracking import models
from ast2hf.tracking.store import address, connect, errors_told, experiment_id, owner

_PARENT_TAG = "mlflow.parentRunId"
_RECORD_TAG = "ast2hf.record"
"""The key of the record that a run is made from, by which one that was begun is found again."""


@dataclass(frozen=True)
class Sent:
    """``run``: the address of the run; ``model``: that of the registered version of its model."""

    run: str
    model: str | None


def begin(record: Record, tracking: Tracking, outputs: str) -> None:
    """Open the run of ``record``, a sweep's, for the runs of its jobs to be nested in. Raises TrackingError."""
    with errors_told("the sweep"):
        client = connect(tracking)
        _open(client, experiment_id(client, tracking, outputs), record)


def send(record: Record, tracking: Tracking, outputs: str, folder: Path) -> Sent:
    """Send ``record`` as one run, and with it its model. ``outputs``: where a new local store keeps its artifacts.

    Takes bounded time also with a server that fails (see :mod:`ast2hf.tracking.store`). Raises TrackingError; the
    record then stays in ``folder``, and the conversion itself is not touched.
    """
    with errors_told(printable(record.name)):
        path = records.keep(record, folder)
        client = connect(tracking)
        found = _send(client, experiment_id(client, tracking, outputs), record, tracking)
        path.unlink(missing_ok=True)  # a replay at the same time may have removed it
        return found


def replay(tracking: Tracking, outputs: str) -> int:
    """Send every record under ``outputs`` that has not arrived whole; return their number.

    One that cannot be sent does not stop the others. Raises TrackingError if there were any, at once if the server
    does not answer.
    """
    count = 0
    failed: list[str] = []
    for path in records.unsent(Path(outputs).expanduser()):
        with errors_told("what was left"):
            client = connect(tracking)
            experiment = experiment_id(client, tracking, outputs)
        try:
            _send(client, experiment, records.read(path), tracking)
        except Exception as error:  # of a server, or of a file that was cut short
            failed.append(f"{printable(path)}: {printable(error)}")
        else:
            path.unlink(missing_ok=True)
            count += 1
    if failed:
        raise TrackingError(
            f"{count} records sent, {len(failed)} could not be ({failed[0]})",
            "send them again, or remove what cannot be sent",
        )
    return count


def _send(client: Any, experiment: str, record: Record, tracking: Tracking) -> Sent:
    """Every step gives the same when it is done again."""
    from mlflow.entities import Metric, Param

    run_id = _open(client, experiment, record)
    metrics = [Metric(name, value, record.ended, step) for name, value, step in record.metrics]
    client.log_batch(run_id, metrics=metrics, params=[Param(*item) for item in record.params.items()])
    for path in filter(os.path.exists, record.artifacts):
        client.log_artifact(run_id, path)
    model = models.register(client, experiment, run_id, record) if record.model is not None else None
    client.set_terminated(run_id, status=record.status, end_time=record.ended)
    return Sent(address(tracking, experiment, run_id), model)


def _open(client: Any, experiment: str, record: Record) -> str:
    """The id of the run of ``record``: the one that was begun before, or a new one.

    There may be more, for mlflow repeats a request whose answer was lost, and this is no request that may be
    repeated. All but one are deleted, the same whoever looks.
    """
    found = _runs_of(client, experiment, record.key)
    if not found:
        tags = {**record.tags, **owner(), _RECORD_TAG: record.key}
        if record.parent is not None:
            parents = _runs_of(client, experiment, record.parent)
            if not parents:
                raise LookupError("the run of its sweep is not there")
            tags[_PARENT_TAG] = min(parents)
        run = client.create_run(experiment, start_time=record.started, run_name=record.name, tags=tags)
        found = {str(run.info.run_id), *_runs_of(client, experiment, record.key)}
    chosen = min(found)
    for other in found - {chosen}:
        client.delete_run(other)
    return chosen


def _runs_of(client: Any, experiment: str, key: str) -> set[str]:
    runs = client.search_runs([experiment], f"tags.`{_RECORD_TAG}` = '{key}'")
    return {str(run.info.run_id) for run in runs}
