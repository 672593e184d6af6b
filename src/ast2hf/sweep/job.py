"""What came of one job, as plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

FILENAME = "job.json"
"""Where a job of a sweep leaves it, in its run folder."""

NOT_STARTED = "not started"
"""The error of a job whose process was lost before the job had begun."""


@dataclass(frozen=True)
class Job:
    """What came of one job.

    ``checks``: by name of check the largest difference measured and its tolerance, where there are such;
    ``folder``: the model folder; ``tracked``: the address of the MLflow run;
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
        """What a job left at ``path``."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        checks = {name: tuple(pair) for name, pair in fields.pop("checks", {}).items()}
        return cls(**fields, checks=checks)
