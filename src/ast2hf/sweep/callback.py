"""The callback that Hydra invokes before the jobs of a sweep and around each of them.

Jobs run in whatever processes the launcher provides; the callback object is pickled and sent there, so it carries what
the jobs need to know. Each job writes a file into its folder; the table is made from these files, so it is the same for
every launcher.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from ast2hf.config import Tracking
from ast2hf.errors import ConfigurationError, TrackingError, printable
from ast2hf.local_files import write_atomically
from ast2hf.settings import GROUPS, fill_tracking_uri
from ast2hf.stdout import printing
from ast2hf.sweep import naming
from ast2hf.sweep.job import FILENAME, NOT_STARTED, Job

if TYPE_CHECKING:
    from ast2hf.tracking.record import MlflowRecord
    from ast2hf.tracking.runs import Recorded


class Sweep(Callback):
    """Hydra's callback. ``axes``: the swept keys; ``record``: of the parent MLflow run of the jobs' runs.

    ``file_glob``: key and pattern of a glob() over anything but choices, which Hydra replaces by nothing.
    """

    active: Sweep | None = None
    """The sweep of this process, both in the one that the user started and in those that run jobs."""

    def __init__(self) -> None:
        self.axes: list[str] = []
        self.planned: list[list[str]] = []
        self.file_glob: tuple[str, str] | None = None
        self.working_directory = Path.cwd()
        self.record: MlflowRecord | None = None
        self.folder: Path | None = None
        self.tracking: Tracking | None = None
        self.outputs = ""

    def __getstate__(self) -> dict[str, Any]:
        """Drop the job list: every job receives a copy of this object, and there may be ten thousand."""
        return {**self.__dict__, "planned": []}

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        self.folder = Path(config.hydra.sweep.dir).absolute()
        fixed = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        loader = GlobalHydra.instance().config_loader()  # it expands globs over choices
        overrides = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)  # each job resolves its own
        assert isinstance(overrides, list)
        parsed = OverridesParser.create(loader).parse_overrides([*fixed, *overrides])
        self.planned = combinations(parsed)
        # The last of many batches of checkpoints may contain a single one; its folder is named like the others.
        self.axes = [o.get_key_element() for o in parsed if o.is_sweep_override()] or ["checkpoint"]
        self.file_glob = next(((o.get_key_element(), g) for o in parsed if (g := _file_glob(o)) is not None), None)
        self._activate()
        tracking = OmegaConf.to_object(config.tracking)
        assert isinstance(tracking, Tracking)
        if tracking.enabled and not config.dry_run:
            fill_tracking_uri(tracking, config.paths.outputs)
            self._start_parent(tracking, config.paths.outputs)

    def _activate(self) -> None:
        Sweep.active = self
        naming.axes = self.axes
        naming.parent = self.record.key if self.record else None

    def _start_parent(self, tracking: Tracking, outputs: str) -> None:
        from ast2hf.tracking import record, runs

        assert self.folder is not None
        self.tracking, self.outputs = tracking, outputs
        self.record = record.start_parent(self.axes)
        try:
            runs.begin(self.record, tracking, outputs)
        except TrackingError as error:
            print(f"warning: {error}", file=sys.stderr)
            record.save(self.record, self.folder)  # the jobs' records need it as their parent

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        if self.folder is not None:
            self._activate()
            os.chdir(self.working_directory)  # a worker may start elsewhere; relative paths must mean the same there

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        job = job_return.return_value
        if self.folder is not None and isinstance(job, Job):
            hydra = HydraConfig.get()
            content = {**asdict(job), "number": hydra.job.num, "overrides": _shown(hydra.overrides.task)}
            path = Path(hydra.runtime.output_dir) / FILENAME
            write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())

    def jobs(self) -> Iterator[Job]:
        """The result of each requested job, in order; jobs without a result are ``lost``."""
        assert self.folder is not None
        folders = {int(path.name.partition("_")[0]): path for path in self.folder.glob("*_*") if path.is_dir()}
        for number, overrides in enumerate(self.planned):
            folder = folders.get(number)
            if folder is not None and (folder / FILENAME).exists():
                yield Job.read(folder / FILENAME)
                continue
            why = NOT_STARTED if folder is None else "interrupted, or its process was killed"
            model = dict(o.split("=", 1) for o in overrides).get("model", "")
            yield Job(1, model, "lost", error=why, number=number, overrides=_shown(overrides))

    def finish(self, refused: bool = False) -> int:
        """Write and show the table of all jobs, and close the parent run. Returns the exit code of the sweep.

        ``refused``: the configuration of a job was refused before any job started; jobs that did not start are then not
        lost. Raises ConfigurationError if there are no jobs, OutputError if the table cannot be printed.
        """
        from ast2hf.sweep import table

        assert self.folder is not None
        jobs = [job for job in self.jobs() if not (refused and job.error == NOT_STARTED)]
        files = table.write(jobs, self.folder) if jobs else []
        code = next((job.code for job in jobs if job.code), 0)
        recorded = self._finish_parent(jobs, files, passed=bool(jobs) and not code)
        if not jobs:
            raise self._no_jobs()
        with printing(self.folder):
            table.show(jobs, files, recorded)
        return code

    def _no_jobs(self) -> ConfigurationError:
        if self.file_glob is None:
            return ConfigurationError(
                "the sweep has no jobs", "check that each glob matches a choice (see --help for the choices)"
            )
        key, pattern = (printable(text, 100) for text in self.file_glob)
        return ConfigurationError(
            f"the sweep has no jobs, because {key}=glob(…) does not look for files",
            f'list the files: -m "{key}=$(ls {pattern} | paste -sd,)"',
        )

    def _finish_parent(self, jobs: Sequence[Job], files: Sequence[Path], passed: bool) -> Recorded | None:
        if self.record is None or self.tracking is None or self.folder is None:
            return None
        from ast2hf.tracking import description, record, runs

        counts = {"jobs": len(jobs), "jobs.passed": sum(not job.code for job in jobs)}
        closed = record.finish_parent(self.record, passed, counts, files, description.of_sweep(jobs))
        try:
            return runs.send(closed, self.tracking, self.outputs, self.folder)
        except TrackingError as error:
            print(f"warning: {error}", file=sys.stderr)
            return None


def _file_glob(override: Override) -> str | None:
    """The pattern of a glob over a key that is not a group of choices."""
    value, key = override.value(), override.get_key_element()
    return " ".join(value.include) if isinstance(value, Glob) and key not in GROUPS and "/" not in key else None


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of each job, in the order in which Hydra's basic sweeper numbers the jobs."""
    values = {
        o.get_key_element(): list(o.sweep_string_iterator())
        if o.is_sweep_override()
        else [o.get_value_element_as_str()]
        for o in overrides
    }
    return [
        [f"{key}={value}" for key, value in zip(values, chosen, strict=True)] for chosen in product(*values.values())
    ]


def _shown(overrides: Sequence[str]) -> list[str]:
    return [naming.for_tables(o) for o in naming.distinguishing_overrides(overrides)]
