"""A Ray cluster of two nodes, on loopback addresses in a network namespace of its own: no other machine sees it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "127.0.0.1:6379"

RAY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex, "RAY_USAGE_STATS_ENABLED": "0"}
"""For every process that starts or uses a Ray: a token of this session, so that none is kept in the home folder."""


@dataclass(frozen=True)
class Cluster:
    """``inside``: what goes before a command to run it in the namespace. ``head``, ``worker``: one core each."""

    inside: tuple[str, ...]
    head: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]


def possible() -> bool:
    """Whether this process may make a network namespace."""
    if shutil.which("ip") is None:
        return False
    name = f"ast2hf-try-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    return made


@contextmanager
def two_nodes(environment: dict[str, str], logs: Path) -> Iterator[Cluster]:
    name = f"ast2hf-{uuid.uuid4().hex[:8]}"
    inside = ("ip", "netns", "exec", name)
    ray = (*inside, str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1")
    scratch = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: the names of sockets have few characters
    subprocess.run(["ip", "netns", "add", name], check=True)
    nodes: list[subprocess.Popen[bytes]] = []

    def start(node: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (logs / f"{node}.log").open("wb") as log:
            command = [*ray, *arguments]
            nodes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
        _wait_for(logs / f"{node}.log", b"Ray runtime started", nodes[-1])
        return nodes[-1]

    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        head = start(
            "head", "--head", "--node-ip-address=127.0.0.1", "--port=6379", "--include-dashboard=false",
            f"--temp-dir={scratch}",
        )  # fmt: skip
        worker = start("worker", f"--address={ADDRESS}", "--node-ip-address=127.0.0.2")
        yield Cluster(inside, head, worker)
    finally:
        for node in reversed(nodes):
            end(node)
        subprocess.run(["ip", "netns", "delete", name], check=True)
        shutil.rmtree(scratch, ignore_errors=True)


def _wait_for(log: Path, text: bytes, process: subprocess.Popen[bytes]) -> None:
    end_of_patience = time.monotonic() + 120
    while text not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end_of_patience, log.read_text()
        time.sleep(0.1)


def family(pid: int) -> list[int]:
    """``pid`` and all processes that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for member in found:  # grows while it is read
        found += children.get(member, [])
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and its family at once, as a power cut would, by their ids."""
    if process.poll() is None:
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()
