"""Several jobs in one command: what they share, what came of each, and the table at the end.

Hydra calls :class:`Sweep` before the jobs and around each of them, in whatever process a launcher runs it; the object
is pickled to there, and so carries what the jobs need to know. Each job leaves ``job.json`` in its folder; the table
is made from these files, so that it is the same for every launcher.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from ast2hf.cli import resolvers
from ast2hf.config import Tracking
from ast2hf.errors import ConfigurationError, OutputError, TrackingError
from ast2hf.secrets import given, redact

if TYPE_CHECKING:
    from ast2hf.report.record import Record

JOB = "job.json"

LOST = 1
"""Exit code of a job that left no word: its process was ended, or it never began."""

NEVER_BEGAN = "it never began"

_NAMED_ELSEWHERE = ("model", "experiment", "sweep", "overwrite", "output_dir", "skip_existing", "debug", "dry_run")
"""Keys that need not show in a folder's name: the model's name stands there already, the others are no variants."""


@dataclass(frozen=True)
class Job:
    """What came of one job. ``overrides``: those that tell it from the other jobs of its sweep."""

    code: int
    model: str
    status: str
    max_abs_diff: float | None = None
    atol: float | None = None
    seconds: float | None = None
    folder: str | None = None
    tracked: str | None = None
    error: str | None = None
    number: int = 0
    overrides: list[str] = field(default_factory=list)


class Sweep(Callback):
    """Hydra's callback. ``axes``: the swept keys; ``record``: of the MLflow run that the jobs' runs are nested in."""

    active: Sweep | None = None
    """Of this process: in the one that the user started, and in one that runs a job of a sweep."""

    def __init__(self) -> None:
        self.axes: list[str] = []
        self.planned: list[list[str]] = []
        self.working_directory = Path.cwd()
        self.record: Record | None = None
        self.folder: Path | None = None
        self.tracking: Tracking | None = None
        self.outputs = ""

    def __getstate__(self) -> dict[str, Any]:
        """Without the list of all jobs: each job gets a copy of this, and they may be ten thousand."""
        return {**self.__dict__, "planned": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Every launcher sends this object to the process of a job before it composes or resolves anything there."""
        resolvers.register()
        self.__dict__.update(state)
        os.chdir(self.working_directory)  # relative paths mean the same there

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        Sweep.active = self
        self.folder = Path(config.hydra.sweep.dir).absolute()
        fixed = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        loader = GlobalHydra.instance().config_loader()  # knows the choices that a glob stands for
        given = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)  # what they refer to is each job's
        assert isinstance(given, list)
        parsed = OverridesParser.create(loader).parse_overrides([*fixed, *given])
        (self.planned,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        # The last of many lists of checkpoints may hold a single one; its folder is named like the others.
        self.axes = [o.get_key_element() for o in parsed if o.is_sweep_override()] or ["checkpoint"]
        settings = OmegaConf.to_object(config.tracking)
        assert isinstance(settings, Tracking)
        if settings.enabled and not config.dry_run:
            self._open_parent(settings, config.paths.outputs)

    def _open_parent(self, tracking: Tracking, outputs: str) -> None:
        from ast2hf.report import record
        from ast2hf.tracking import runs

        assert self.folder is not None
        self.tracking, self.outputs = tracking, outputs
        self.record = record.of_sweep(self.folder)
        try:
            runs.begin(self.record, tracking, outputs)
        except TrackingError as error:
            print(f"warning: {error}", file=sys.stderr)
            record.keep(self.record, self.folder)  # its jobs' records are of use only with it

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        if self.folder is not None:
            Sweep.active = self

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        job = job_return.return_value
        if self.folder is not None and isinstance(job, Job):
            hydra = HydraConfig.get()
            told = {**asdict(job), "number": hydra.job.num, "overrides": self.told_by(hydra.overrides.task)}
            path = Path(hydra.runtime.output_dir) / JOB
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
            unfinished.replace(path)  # so that a process that ends here leaves no half of it

    def told_by(self, overrides: Sequence[str]) -> list[str]:
        """Those of a job's ``overrides`` that other jobs of the sweep have otherwise; addresses without secrets."""
        return [redact(given(o)) for o in self.telling(overrides)]

    def telling(self, overrides: Sequence[str]) -> list[str]:
        return [o for o in overrides if o.partition("=")[0] in self.axes]

    def jobs(self) -> Iterator[Job]:
        """What came of each job that was asked for, in order; of one that left no word, that."""
        assert self.folder is not None
        folders = {int(path.name.partition("_")[0]): path for path in self.folder.glob("*_*") if path.is_dir()}
        for number, overrides in enumerate(self.planned):
            folder = folders.get(number)
            if folder is not None and (folder / JOB).exists():
                yield Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))
                continue
            why = NEVER_BEGAN if folder is None else "interrupted, or its process was ended"
            model = dict(o.split("=", 1) for o in overrides).get("model", "")
            yield Job(LOST, model, "lost", error=why, number=number, overrides=self.told_by(overrides))

    def finish(self, refused: bool = False) -> int:
        """Show the table of all jobs, keep it, and close the parent run. Returns the exit code of the sweep.

        ``refused``: the configuration of a job was, before any began; those that did not begin are no loss then.
        """
        from ast2hf.report import sweep_table

        assert self.folder is not None
        jobs = [job for job in self.jobs() if not (refused and job.error == NEVER_BEGAN)]
        files = sweep_table.write(jobs, self.folder) if jobs else []
        code = next((job.code for job in jobs if job.code), 0)
        address = self._close_parent(jobs, files, passed=bool(jobs) and not code)
        if not jobs:
            raise ConfigurationError("the sweep has no jobs", "does a glob match nothing? See --help for the choices")
        try:
            sweep_table.show(jobs, files, address)
        except OSError as error:
            raise OutputError(f"cannot write to stdout ({error.strerror})", f"the table is in {self.folder}") from error
        return code

    def _close_parent(self, jobs: Sequence[Job], files: Sequence[Path], passed: bool) -> str | None:
        if self.record is None or self.tracking is None or self.folder is None:
            return None
        from ast2hf.report import record
        from ast2hf.tracking import runs

        counts = {"jobs": len(jobs), "jobs.passed": sum(not job.code for job in jobs)}
        told = record.closed(self.record, passed, counts, files)
        try:
            return runs.send(told, self.tracking, self.outputs, self.folder).run
        except TrackingError as error:
            print(f"warning: {error}", file=sys.stderr)
            return None


def suffix() -> str:
    """What tells this job's folder from those of jobs with the same model: ``_device=cpu``. Empty in single runs."""
    if Sweep.active is None or not HydraConfig.initialized():
        return ""
    telling = Sweep.active.telling(HydraConfig.get().overrides.task)
    return "".join(f"_{_short(o)}" for o in telling if o.partition("=")[0] not in _NAMED_ELSEWHERE)


def require_own_repository(hub: DictConfig) -> None:
    """Raise ConfigurationError where all jobs of a sweep would push to one repository, each over the one before."""
    raw = OmegaConf.to_container(hub, resolve=False)
    assert isinstance(raw, dict)
    if not raw["push"] or Sweep.active is None or not Sweep.active.axes or "hub.repo_id" in Sweep.active.axes:
        return
    if "${" not in str(raw["repo_id"]):
        raise ConfigurationError(
            "hub.repo_id is the same for all jobs of the sweep",
            "give each its own: 'hub.repo_id=me/${model.name}', or 'hub.repo_id=me/name-${hydra:job.num}'",
        )


def _short(override: str) -> str:
    """``override`` as part of a file name. What had to be left out is told apart by a hash."""
    key, _, value = given(override).partition("=")
    shown = redact(value).partition("?")[0]
    short = re.sub(r"[^A-Za-z0-9._-]", "", shown.rstrip("/").rpartition("/")[2])[-40:]
    if short == value:
        return f"{key}={value}"
    return f"{key}={short}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
