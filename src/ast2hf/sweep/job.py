"""What came of one job, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    checks: dict[str, list[float | None]] = field(default_factory=dict)
    seconds: float | None = None
    folder: str | None = None
    tracked: str | None = None
    error: str | None = None
    number: int = 0
    overrides: list[str] = field(default_factory=list)

    @property
    def tolerances(self) -> dict[str, float]:
        """By name of check; only of those that have one."""
        return {name: atol for name, (_, atol) in self.checks.items() if atol is not None}

    @property
    def measured(self) -> dict[str, float]:
        """By name of check; only of those that measured something."""
        return {name: difference for name, (difference, _) in self.checks.items() if difference is not None}
