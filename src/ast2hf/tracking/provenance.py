"""What MLflow shows as the source of a run: this program and, if it runs from a clone, its commit."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = "ast2hf"

_CLONE = Path(__file__).parents[3]
"""The repository if the package runs from a clone; an installed package may lie inside an unrelated repository."""

_PATIENCE = 5.0
"""Seconds to wait for git, which usually answers within 0.01."""


def tags() -> dict[str, str]:
    """The tags of a run, under MLflow's own names."""
    known = {"mlflow.source.name": _NAME, "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": commit(_CLONE)}
    return {name: value for name, value in known.items() if value}


@cache
def commit(clone: Path) -> str | None:
    """The current commit of ``clone``; None if it is not a clone, or git fails."""
    if not (clone / ".git").exists():
        return None
    command = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
        return done.stdout.strip()
    return None
