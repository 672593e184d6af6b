"""Runs in MLflow: one for each conversion, nested in that of its sweep.

A conversion is sent when it ends and everything is known. Its record is kept on disk until all of it has arrived, so
that none is lost if a server fails or the process is killed: ``replay`` resumes the same run.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ast2hf.config import Tracking
from ast2hf.errors import TrackingError, printable
from ast2hf.tracking import models
from ast2hf.tracking import record as records
from ast2hf.tracking.record import Input, MlflowRecord
from ast2hf.tracking.store import address, address_of_list, as_tracking_error, connect, experiment_id, owner

_PARENT_TAG = "mlflow.parentRunId"
_RECORD_TAG = "ast2hf.record"
"""The key of a run's record, by which an unfinished run is found again."""


@dataclass(frozen=True)
class Recorded:
    """``run``: the URL of the run; ``model``: that of the registered version of its model; ``runs``: that of the list
    of all runs, with the metrics by which they are compared."""

    run: str
    model: str | None
    runs: str


def begin(record: MlflowRecord, tracking: Tracking, outputs: str) -> None:
    """Open the run of a sweep's ``record``, in which the runs of its jobs are nested. Raises TrackingError."""
    with as_tracking_error("the sweep"):
        client = connect(tracking)
        _open(client, experiment_id(client, tracking, outputs), record)


def send(record: MlflowRecord, tracking: Tracking, outputs: str, folder: Path) -> Recorded:
    """Send ``record`` as one run, together with its model. ``outputs``: where a new local store keeps its artifacts.

    Takes bounded time even if the server fails (see :mod:`ast2hf.tracking.store`). Raises TrackingError; the
    record then stays in ``folder``, and the conversion itself is not affected.
    """
    with as_tracking_error(printable(record.name)):
        path = records.save(record, folder)
        client = connect(tracking)
        found = _send(client, experiment_id(client, tracking, outputs), record, tracking)
        path.unlink(missing_ok=True)  # a concurrent replay may have removed it
        return found


def replay(tracking: Tracking, outputs: str) -> int:
    """Send every record under ``outputs`` that has not fully arrived; return their number.

    A record that cannot be sent does not stop the others, but raises TrackingError at the end. If the server does not
    answer, that is raised at once.
    """
    count = 0
    failed: list[str] = []
    for path in records.pending(Path(outputs).expanduser()):
        with as_tracking_error("pending records"):
            client = connect(tracking)
            experiment = experiment_id(client, tracking, outputs)
        try:
            _send(client, experiment, records.saved(path), tracking)
        except Exception as error:  # of the server, or of a truncated file
            failed.append(f"{printable(path)}: {printable(error)}")
        else:
            path.unlink(missing_ok=True)
            count += 1
    if failed:
        raise TrackingError(
            f"sent {count} {'record' if count == 1 else 'records'}, failed to send {len(failed)} ({failed[0]})",
            "run task=replay again, or delete the records that cannot be sent",
        )
    return count


def _send(client: Any, experiment: str, record: MlflowRecord, tracking: Tracking) -> Recorded:
    """Every step is idempotent."""
    from mlflow.entities import Metric, Param, RunTag

    run_id = _open(client, experiment, record)
    metrics = [Metric(name, value, record.ended, step) for name, value, step in record.metrics]
    params = [Param(*item) for item in record.params.items()]
    tags = [RunTag(*item) for item in record.tags.items()]  # those of a sweep change at its end
    client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
    if record.inputs:
        _log_inputs(client, run_id, [_dataset(known) for known in record.inputs])
    for path in filter(os.path.exists, record.artifacts):
        client.log_artifact(run_id, path)
    model = models.register(client, experiment, run_id, record) if record.model is not None else None
    client.set_terminated(run_id, status=record.status, end_time=record.ended)
    return Recorded(address(tracking, experiment, run_id), model, address_of_list(tracking, experiment))


def _log_inputs(client: Any, run_id: str, inputs: list[Any]) -> None:
    """Of processes that create one data set at the same moment the store serves one; the others find it on a retry."""
    from mlflow.exceptions import MlflowException
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

    def refused(error: BaseException) -> bool:
        return isinstance(error, MlflowException) and error.error_code == "BAD_REQUEST"  # any error of the database

    retries = Retrying(
        retry=retry_if_exception(refused), stop=stop_after_attempt(5), wait=wait_random(max=0.5), reraise=True
    )
    retries(client.log_inputs, run_id, inputs)


def _dataset(known: Input) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": known.name})
    profile = json.dumps({"num_rows": known.clips})
    described = Dataset(known.name, known.digest, source_type="audio", source=source, profile=profile)
    return DatasetInput(described, [InputTag("mlflow.data.context", "proof")])


def _open(client: Any, experiment: str, record: MlflowRecord) -> str:
    """The id of the run of ``record``: an existing one, or a new one.

    There may be several, because mlflow repeats a request whose answer was lost, and a repeated one makes a second run.
    All but one are deleted; every process keeps the same one.
    """
    found = _runs_of(client, experiment, record.key)
    if not found:
        tags = {**record.tags, **owner(), _RECORD_TAG: record.key}
        if record.parent is not None:
            parents = _runs_of(client, experiment, record.parent)
            if not parents:
                raise LookupError("the parent run of its sweep does not exist")
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
