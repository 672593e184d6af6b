"""The command line as a user types it, in a folder of its own and without network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import ROOT, fork_server
from support.fork_server import Command
from support.models import TINY_OVERRIDES
from support.result import Result

CAN_FORK = sys.platform == "linux"
"""Elsewhere a process that has loaded torch and forks may crash; every command is cold there."""


@dataclass(frozen=True)
class Cli:
    """``convert.py`` in ``folder``. Whatever asks for another machine than this one fails.

    Commands are run by the fork server, which spares them their imports. What is about the start or end of a
    process, its resource limits, or the libraries it imports, is run with :meth:`cold`.
    """

    folder: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, parent: Path) -> Cli:
        folder = parent / "work"
        folder.mkdir()
        own = {"AST2HF_CACHE": str(parent / "cache"), "HF_HOME": str(parent / "hf")}
        return cls(folder, {**os.environ, **own})

    def __call__(self, *arguments: str, **environment: str) -> Result:
        if not CAN_FORK:
            return self.cold(*arguments, **environment)
        return self.start(*arguments, **environment).wait()

    def start(self, *arguments: str, **environment: str) -> Command:
        """Run a command beside the test."""
        return fork_server.shared().start(self.folder, {**self.environment, **environment}, arguments)

    def cold(self, *arguments: str, wrapper: tuple[str, ...] = (), **environment: str) -> Result:
        """Run a command in a new Python. ``wrapper``: a command that runs the command in its arguments."""
        done = subprocess.run(
            [*wrapper, sys.executable, str(ROOT / "convert.py"), *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def tiny(self, *arguments: str, **environment: str) -> Result:
        """Convert the tiny model, offline and untracked unless ``arguments`` say otherwise."""
        return self("experiment=offline", "tracking=off", *TINY_OVERRIDES, *arguments, **environment)

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    def model_folder(self, name: str = "ast-finetuned-audioset-16-16-0.442") -> Path:
        return self.outputs / "models" / name

    def run_reports(self) -> list[dict[str, Any]]:
        """The reports of all runs, oldest first."""
        return [json.loads(p.read_text()) for p in sorted(self.outputs.glob("runs/*/conversion_report.json"))]
