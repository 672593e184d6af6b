"""Records in MLflow. The only module that imports mlflow.

A conversion is sent at its end, when all is known: a run that dies leaves no run open.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ast2hf.config import Tracking
from ast2hf.errors import TrackingError, printable
from ast2hf.report.record import Record, unsent

PROBE_TIMEOUT = 5.0
"""Seconds for a server to say that it is there, before anything is sent to it."""

_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default waits four minutes for a dead server
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}

_PARENT_TAG = "mlflow.parentRunId"
_WHOLE_TAG = "ast2hf.record"
"""The key of a record of which everything has arrived."""

_HOST_TAG = "ast2hf.host"
_PID_TAG = "ast2hf.pid"


def send(record: Record, tracking: Tracking, outputs: str) -> str:
    """Send ``record`` as one run; return its address. ``outputs``: where a new local store keeps its artifacts.

    Raises TrackingError; the conversion itself is not touched.
    """
    with _errors_told("the conversion"):
        client = _client(tracking)
        return _send(client, _experiment(client, tracking, outputs), record, tracking)


def replay(tracking: Tracking, outputs: str) -> int:
    """Send every record under ``outputs`` that could not be sent before, each once; return their number."""
    count = 0
    with _errors_told("what was left to send"):
        for path, record in unsent(Path(outputs)):
            client = _client(tracking)
            experiment = _experiment(client, tracking, outputs)
            # Its file may have outlived one that was sent whole.
            if not client.search_runs([experiment], f"tags.`{_WHOLE_TAG}` = '{record.key}'"):
                _send(client, experiment, record, tracking)
                count += 1
            path.unlink()
    return count


def start_sweep(tracking: Tracking, outputs: str, name: str) -> str:
    """Begin the run that those of a sweep's jobs are nested in; return its id. Raises TrackingError."""
    with _errors_told("the sweep"):
        client = _client(tracking)
        return str(client.create_run(_experiment(client, tracking, outputs), run_name=name, tags=_owner()).info.run_id)


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
            "check tracking.uri, then send it with: python convert.py tracking=replay",
        ) from error


def _client(tracking: Tracking) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)  # inherited, it would make a new run resume another
    assert tracking.uri is not None
    if _is_server(tracking.uri):
        import httpx

        httpx.get(f"{tracking.uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT).raise_for_status()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return mlflow.MlflowClient(tracking_uri=tracking.uri)


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _experiment(client: Any, tracking: Tracking, outputs: str) -> str:
    found = client.get_experiment_by_name(tracking.experiment)
    if found is not None:
        _end_orphans(client, str(found.experiment_id))
        return str(found.experiment_id)
    local = not _is_server(str(tracking.uri))
    artifacts = (Path(outputs).expanduser().absolute() / "mlartifacts").as_uri() if local else None
    return str(client.create_experiment(tracking.experiment, artifact_location=artifacts))


def _end_orphans(client: Any, experiment: str) -> None:
    """End the runs that processes of this machine left open when they were killed."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        pid = run.data.tags.get(_PID_TAG, "")
        if run.data.tags.get(_HOST_TAG) == socket.gethostname() and pid.isdecimal() and not _is_alive(int(pid)):
            client.set_terminated(run.info.run_id, status="KILLED")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _owner() -> dict[str, str]:
    return {_HOST_TAG: socket.gethostname(), _PID_TAG: str(os.getpid())}


def _send(client: Any, experiment: str, record: Record, tracking: Tracking) -> str:
    from mlflow.entities import Metric, Param

    tags = {**record.tags, **_owner()}
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
    return _address(tracking, experiment, run_id)


def _address(tracking: Tracking, experiment: str, run_id: str) -> str:
    uri = str(tracking.uri)
    if _is_server(uri):
        return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"
    page = f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{run_id}"
    return f"{_program()} ui --backend-store-uri {uri}  then  {page}"


def _program() -> str:
    """How to call mlflow: where the environment is not activated, it is beside this Python and not on the PATH."""
    if shutil.which("mlflow"):
        return "mlflow"
    path = Path(sys.executable).parent / "mlflow"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
