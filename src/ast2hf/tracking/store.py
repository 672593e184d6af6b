"""Connect to MLflow with bounded timeouts, and close runs left open by killed processes.

A server that does not answer at first costs PROBE_TIMEOUT. If one fails later, a request is made three times, with 3
seconds of pauses; if the server accepts it and then stays silent, each attempt takes another 20 seconds. After these 63
seconds there are no further requests. The same applies to artifacts if the server stores them itself (the default); if
it redirects clients to a bucket, boto3's own limits apply. MLflow's own environment variables take precedence.
"""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ast2hf.config import Tracking
from ast2hf.errors import TrackingError, printable
from ast2hf.secrets import redact
from ast2hf.tracking import view

PROBE_TIMEOUT = 5.0
"""Seconds within which a server must answer before anything is sent to it."""

CREATION_TIMEOUT = 120.0
"""Seconds to wait while other processes create a local store, which takes about 2 for each."""

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
def as_tracking_error(what: str) -> Iterator[None]:
    """Turn any error inside into a TrackingError. ``what``: the thing being recorded."""
    try:
        yield
    except Exception as error:  # mlflow passes on the errors of its stores and clients
        raise TrackingError(
            f"{what} could not be recorded in MLflow ({printable(type(error).__name__)}: {printable(error)})",
            "check tracking.uri, then send the record with task=replay and the same tracking.* and paths.outputs",
        ) from error


def connect(tracking: Tracking) -> Any:
    """An MlflowClient for ``tracking.uri``; a server must first report that it is healthy."""
    assert tracking.uri is not None
    if is_server(tracking.uri):
        import httpx

        httpx.get(f"{tracking.uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT).raise_for_status()
    _set_process_state()
    import mlflow

    with _alone(tracking.uri):
        return mlflow.MlflowClient(tracking_uri=tracking.uri)


def _set_process_state() -> None:
    """All process-wide changes that recording in MLflow makes."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("MLFLOW_RUN_ID", None)  # if inherited, a new run would resume another
    import mlflow  # noqa: F401  it sets the level of its logger

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Keep other processes out of a SQLite store: on first use, mlflow creates its tables one by one."""
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
    """The id of ``tracking.experiment``, created if it does not exist; orphaned runs in it are ended.

    It is given the view of its list of runs (see :mod:`ast2hf.tracking.view`) where it lacks it.

    ``outputs``: where a new local experiment keeps its artifacts.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(tracking.experiment)
    if found is None:
        local = not is_server(str(tracking.uri))
        artifacts = (Path(outputs).expanduser().absolute() / "mlartifacts").as_uri() if local else None
        try:
            return str(client.create_experiment(tracking.experiment, artifact_location=artifacts, tags=view.TAGS))
        except MlflowException:
            found = client.get_experiment_by_name(tracking.experiment)  # another process may have been first
            if found is None:
                raise
    view.install(client, found)
    _end_orphans(client, str(found.experiment_id))
    return str(found.experiment_id)


def _end_orphans(client: Any, experiment: str) -> None:
    """End the runs left open by killed processes of this machine."""
    open_here = f"attributes.status = 'RUNNING' and tags.`{_HOST_TAG}` = '{socket.gethostname()}'"
    orphans, token = [], None
    while True:  # collect all pages first: ended runs drop out of the search, and the next page would skip others
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
    """The tags that say whose process sends a run."""
    tags = {_HOST_TAG: socket.gethostname(), _PID_TAG: str(os.getpid())}
    with suppress(ImportError, KeyError, OSError):  # a container may run as a number without a name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def address(tracking: Tracking, experiment: str, run_id: str) -> str:
    """Where to find the run: a URL, preceded by the command that serves it if the store is local."""
    page = f"{_pages(tracking)}/#/experiments/{experiment}/runs/{run_id}?{view.PAGES}"
    if is_server(str(tracking.uri)):
        return page
    return f"{_program()} ui --backend-store-uri {redact(str(tracking.uri))}  then  {page}"


def address_of_list(tracking: Tracking, experiment: str) -> str:
    """The URL of the comparison of all runs; of a local store, while the command that serves it runs."""
    return f"{_pages(tracking)}/#/experiments/{experiment}/runs?{view.QUERY}"


def _pages(tracking: Tracking) -> str:
    return redact(str(tracking.uri)).rstrip("/") if is_server(str(tracking.uri)) else "http://127.0.0.1:5000"


def _program() -> str:
    """The mlflow command: without an activated environment it is beside this Python, not on the PATH."""
    if shutil.which("mlflow"):
        return "mlflow"
    path = Path(sys.executable).parent / "mlflow"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
