"""A real MLflow server for tests, and a proxy before it that lets a server fail at a chosen request."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from support.http_server import Handler, HttpServer, free_port

START = 180
"""Seconds that a server may take to answer for the first time."""


class MlflowServer:
    """Started on a port that stays its own, so that it can die and come back. Its log is in ``folder``."""

    def __init__(self, folder: Path, store: str, artifacts: str, environment: Mapping[str, str] | None = None) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        self._command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", store, "--artifacts-destination", artifacts, "--serve-artifacts",
        ]  # fmt: skip
        self._environment = {**os.environ, **(environment or {}), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, so that its workers end with it
            )
        end = time.monotonic() + START
        while True:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            try:
                httpx.get(f"{self.url}/health").raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, with its workers and whatever they have in hand."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> MlflowServer:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Proxy(HttpServer):
    """Forwards to ``upstream``. ``fault``, where set, has its way with each request that matches ``where``.

    It gets method and path, and what forwards the request. It returns the answer; None: the connection ends without.
    """

    def __init__(self, upstream: str) -> None:
        self.where = ""
        self.fault: Callable[[str, Callable[[], httpx.Response]], httpx.Response | None] | None = None
        proxy = self

        class Forwarding(Handler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "accept")}

                def forward() -> httpx.Response:
                    url = upstream + self.path
                    return httpx.request(self.command, url, content=body, headers=headers, timeout=None)

                asked = f"{self.command} {self.path}"
                faulty = proxy.fault is not None and re.search(proxy.where, asked)
                reply = proxy.fault(asked, forward) if faulty else forward()
                if reply is not None:
                    self.send_response(reply.status_code)
                    self.send_header("Content-Type", reply.headers.get("Content-Type", "text/plain"))
                    self.send_header("Content-Length", str(len(reply.content)))
                    self.end_headers()
                    self.wfile.write(reply.content)

        super().__init__(Forwarding)

    def stall(self, *_: object) -> None:
        """A fault: accept, and answer nothing until the proxy ends."""
        self.stopping.wait()


@contextmanager
def http_program(*command: str, health: str, **environment: str) -> Iterator[None]:
    """Run ``command``, which answers at the address ``health`` once it is ready; ended with all it has started."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    try:
        while True:
            assert process.poll() is None, f"{command} ended before it was ready"
            try:
                httpx.get(health).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers are of its group
        process.wait()
