"""What MLflow shows as the source of a run: this program, and of a clone the commit that it is at."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = "ast2hf"

_CLONE = Path(__file__).parents[3]
"""The repository, where the package lies in one; elsewhere the repository of somebody else may lie above it."""

_PATIENCE = 5.0
"""Seconds for git, which answers in a hundredth of one."""


def tags() -> dict[str, str]:
    """The tags of a run, of MLflow's own names."""
    known = {"mlflow.source.name": _NAME, "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": commit(_CLONE)}
    return {name: value for name, value in known.items() if value}


@cache
def commit(clone: Path) -> str | None:
    """The commit that ``clone`` is at; None where it is none, or git cannot tell."""
    if not (clone / ".git").exists():
        return None
    command = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_PATIENCE)
        return done.stdout.strip()
    return None
