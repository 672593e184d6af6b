"""The result of one job, as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

FILENAME = "job.json"
"""The file in a job's run folder that holds its result."""

NOT_STARTED = "not started"
"""The error of a job whose process was lost before the job had begun."""


@dataclass(frozen=True)
class Job:
    """The result of one job.

    ``checks``: for each check, the largest measured difference and its tolerance, if it has them;
    ``folder``: the model folder; ``tracked``: the URL of the MLflow run;
    ``overrides``: those that distinguish it from the other jobs of its sweep.
    """

    code: int
    model: str
    status: str
    checks: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    seconds: float | None = None
    folder: str | None = None
    tracked: str | None = None
    error: str | None = None
    number: int = 0
    overrides: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Job:
        """The result in the file ``path``."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        checks = {name: tuple(pair) for name, pair in fields.pop("checks", {}).items()}
        return cls(**fields, checks=checks)
