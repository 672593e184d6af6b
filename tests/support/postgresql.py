"""A PostgreSQL cluster for tests, on loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _binaries() -> Path | None:
    """Where initdb and pg_ctl are. Debian keeps them off the PATH, one folder for each version."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


BINARIES = _binaries()

POSSIBLE = BINARIES is not None and all(importlib.util.find_spec(name) for name in ("psycopg2", "boto3", "moto"))
"""Whether a team's server can be had here."""


@contextlib.contextmanager
def cluster(port: int) -> Iterator[str]:
    """A running cluster; the address of a database in it. Everyone on this machine may log in."""
    assert BINARIES is not None
    with tempfile.TemporaryDirectory(prefix="ast2hf-postgresql-") as name:  # pytest's folders are closed to others
        data = f"{name}/data"
        user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if user:
            shutil.chown(name, user)

        def command(program: str, *arguments: str) -> None:
            log = Path(name, "log")
            with log.open("ab") as output:
                done = subprocess.run(
                    [str(BINARIES / program), "-D", data, *arguments],
                    cwd=name,
                    user=user,
                    extra_groups=[] if user else None,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            assert done.returncode == 0, log.read_text()

        command("initdb", "--username=mlflow", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        command("pg_ctl", "start", "--wait", "-o", options)
        try:
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            command("pg_ctl", "stop", "--wait", "--mode=immediate")
