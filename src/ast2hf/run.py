"""One run: what is asked, what is found on the way, and what came of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ast2hf.config import Config
from ast2hf.geometry import Geometry
from ast2hf.mapping.plan import Plan
from ast2hf.progress import Progress
from ast2hf.reference.front_end import FrontEnd
from ast2hf.report.evidence import Evidence
from ast2hf.report.report import Report

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One run: what is asked, what is found, how long it takes, and where its own files are kept.

    ``evidence``: from the proof on, what it has seen.
    """

    config: Config
    report: Report
    stages: Progress
    folder: Path
    evidence: Evidence | None = None

    def note(self, *texts: str) -> None:
        for text in texts:
            log.info("note: %s", text)
            self.report.notes.append(text)


@dataclass(frozen=True)
class Model:
    """What is to be made of the checkpoint."""

    geometry: Geometry
    front_end: FrontEnd
    plan: Plan
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a run. ``target``: the published folder; ``tracked``: the address of the MLflow run.

    ``registered``: that of the model's version in the registry; ``pushed``: where it is on the Hub.
    ``skipped``: the folder was there already, as it would be made.
    """

    report: Report
    target: Path
    tracked: str | None = None
    registered: str | None = None
    skipped: bool = False
    pushed: str | None = None
