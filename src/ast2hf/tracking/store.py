"""The way to an MLflow server or store: within bounded time, and with what killed processes left open put right.

A server that does not answer at first costs PROBE_TIMEOUT. One that fails later is asked three times in a row, which
costs 3 seconds of pauses, and where it accepts and then stays silent 20 seconds each time besides: 63 seconds, after
which nothing more is asked of it. The same holds for artifacts, where the server itself stores them (which is its
default); where it sends its clients to a bucket, boto3's own limits hold. MLflow's variables overrule those here.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ast2hf.config import Tracking
from ast2hf.errors import TrackingError, printable
from ast2hf.secrets import redact

PROBE_TIMEOUT = 5.0
"""Seconds for a server to say that it is there, before anything is sent to it."""

CREATION_TIMEOUT = 120.0
"""Seconds to wait while other processes use a local store for the first time, which takes each some 2."""

_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default waits four minutes for a dead server
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may ask for hours
    "GIT_PYTHON_REFRESH": "quiet",
}

_HOST_TAG = "ast2hf.host"
_PID_TAG = "ast2hf.pid"


@contextmanager
def errors_told(what: str) -> Iterator[None]:
    """Raise TrackingError for whatever goes wrong inside; ``what`` was to be recorded."""
    try:
        yield
    except Exception as error:  # mlflow lets the errors of its stores and clients through
        raise TrackingError(
            f"{what} could not be recorded in MLflow ({printable(type(error).__name__)}: {printable(error)})",
            "check tracking.uri, then send it with: python convert.py task=replay",
        ) from error


def connect(tracking: Tracking) -> Any:
    """An MlflowClient of ``tracking.uri``, once a server there has said that it is well."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)  # inherited, it would make a new run resume another
    assert tracking.uri is not None
    if is_server(tracking.uri):
        import httpx

        httpx.get(f"{tracking.uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT).raise_for_status()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with _alone(tracking.uri):
        return mlflow.MlflowClient(tracking_uri=tracking.uri)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Keep other processes from a SQLite store meanwhile: at its first use mlflow creates tables, one by one."""
    from sqlalchemy import make_url

    database = make_url(uri).database if uri.startswith("sqlite:") else None
    if database is None:
        yield
        return
    from filelock import FileLock

    path = Path(database)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=CREATION_TIMEOUT):
        yield


def is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def experiment_id(client: Any, tracking: Tracking, outputs: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(tracking.experiment)
    if found is None:
        local = not is_server(str(tracking.uri))
        artifacts = (Path(outputs).expanduser().absolute() / "mlartifacts").as_uri() if local else None
        try:
            return str(client.create_experiment(tracking.experiment, artifact_location=artifacts))
        except MlflowException:
            found = client.get_experiment_by_name(tracking.experiment)  # another process may have been first
            if found is None:
                raise
    _end_orphans(client, str(found.experiment_id))
    return str(found.experiment_id)


def _end_orphans(client: Any, experiment: str) -> None:
    """End the runs that processes of this machine left open when they were killed."""
    open_here = f"attributes.status = 'RUNNING' and tags.`{_HOST_TAG}` = '{socket.gethostname()}'"
    orphans, token = [], None
    while True:  # all pages first: those that are ended leave the search, and the next page would begin too late
        page = client.search_runs([experiment], open_here, page_token=token)
        orphans += [run.info.run_id for run in page if _is_orphan(run.data.tags.get(_PID_TAG, ""))]
        token = page.token
        if not token:
            break
    for run_id in orphans:
        client.set_terminated(run_id, status="KILLED")


def _is_orphan(pid: str) -> bool:
    return pid.isdecimal() and not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def owner() -> dict[str, str]:
    return {_HOST_TAG: socket.gethostname(), _PID_TAG: str(os.getpid())}


def address(tracking: Tracking, experiment: str, run_id: str) -> str:
    uri = redact(str(tracking.uri))
    if is_server(uri):
        return f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"
    page = f"http://127.0.0.1:5000/#/experiments/{experiment}/runs/{run_id}"
    return f"{_program()} ui --backend-store-uri {uri}  then  {page}"


def _program() -> str:
    """How to call mlflow: where the environment is not activated, it is beside this Python and not on the PATH."""
    if shutil.which("mlflow"):
        return "mlflow"
    path = Path(sys.executable).parent / "mlflow"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
