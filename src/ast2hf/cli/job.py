"""One job of a command: the function that Hydra calls with a composed configuration, in the process of the job."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ast2hf.cli import errors, process
from ast2hf.cli.help import program
from ast2hf.config import Config
from ast2hf.errors import Ast2hfError, ConfigurationError, HubError, InputError, printable
from ast2hf.privacy import local_paths, without_paths
from ast2hf.results import Conversion, Report
from ast2hf.settings import register, resolve, typed
from ast2hf.sweep import naming
from ast2hf.sweep.job import Job
from ast2hf.sweep.own_places import require_own_places
from ast2hf.validation import validate

log = logging.getLogger(__name__)

INSPECTION = "inspection.json"
"""The file that task=inspect writes into its run folder."""

register()  # every process that runs a job imports this module before it composes anything

jobs: list[Job] = []
"""The jobs that this process has run."""


def run_job(composed: DictConfig) -> Job:
    """Run one composed job. Expected errors are shown here, not raised."""
    process.tune_process()
    process.warnings_to_log()
    report = Report("")
    config: Config | None = None
    with ExitStack() as on_exit:
        try:
            config = typed(composed)
            report.model = config.model.name
            resolve(config, naming.suffix(HydraConfig.get().overrides.task), _launcher())
            validate(config)
            require_own_places(composed, HydraConfig.get().overrides.task)
            other = _OTHER_TASKS.get(config.task)
            job = other(config) if other else _run(config, report, on_exit)
        except Exception as error:
            job = _failed(errors.to_expected(error), report, bool(composed.debug), config)
        jobs.append(job)
    return job


def _run(config: Config, report: Report, on_exit: ExitStack) -> Job:
    if config.threads is not None:
        process.set_threads(config.threads)
    from ast2hf import hub_upload, pipeline
    from ast2hf.cli import outcome
    from ast2hf.cli.progress import TerminalProgress

    if config.hub.push:
        hub_upload.check()
    conversion = Conversion(report)
    run_folder = Path(HydraConfig.get().runtime.output_dir)
    task = outcome.Task(
        config, conversion, TerminalProgress(outcome.NEEDED if config.tracking.enabled else ()), run_folder
    )
    with outcome.failure_recorded(task, on_exit):
        pipeline.run(conversion, config, task.progress)
    recorded = outcome.finish(task)
    status = "skipped" if conversion.skipped else "planned" if config.dry_run else report.status
    folder = conversion.folder or (config.output_dir if config.dry_run and config.task == "convert" else None)
    return replace(
        _job(report, 0), status=status, folder=None if folder is None else str(folder),
        tracked=recorded.run if recorded else None,
    )  # fmt: skip


def _failed(error: Ast2hfError, report: Report, debug: bool, config: Config | None) -> Job:
    """Show ``error`` in full; in the table of a sweep, which may leave the machine, it has no paths."""
    log.error("failed", exc_info=error)
    known = local_paths(config) if config else []
    job = replace(_job(report, errors.show(error, debug)), error=without_paths(str(error), known))
    written = report.status == "passed" and isinstance(error, HubError)
    return replace(job, status="not pushed") if written else job


def _job(report: Report, code: int) -> Job:
    compared = {name: (check.max_abs_diff, check.atol) for name, check in report.checks.items()}
    return Job(code, report.model, report.status, compared, report.timings_s.get("total"))


def _launcher() -> dict[str, Any]:
    settings = OmegaConf.to_container(HydraConfig.get().launcher, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _replay(config: Config) -> Job:
    if not config.tracking.enabled:
        raise ConfigurationError("task=replay sends records to MLflow, but tracking is off", "leave out tracking=off")
    from ast2hf.tracking import runs

    count = runs.replay(config.tracking, config.paths.outputs)
    records = "1 record" if count == 1 else f"{count} records"
    print(f"{records} sent to {printable(config.tracking.uri)}")
    return Job(0, "", "replayed")


def _inspect(config: Config) -> Job:
    """Show what the checkpoint is, and save that in the run folder. Raises InputError if it cannot be converted."""
    from ast2hf.cli.progress import TerminalProgress
    from ast2hf.inspecting import inspect_file
    from ast2hf.output.files import write_json
    from ast2hf.render.inspection import page
    from ast2hf.stdout import printing

    settings = HydraConfig.get()
    run_folder = Path(settings.runtime.output_dir)
    found = inspect_file(config, settings.overrides.task, TerminalProgress(), program())
    write_json(run_folder / INSPECTION, found.as_dict())
    with printing(run_folder):
        print("\n".join([*page(found), f"  written to   {run_folder / INSPECTION}"]))
    if found.verdict == "refused":
        raise InputError(str(found.reason), str(found.remedy))
    return Job(0, config.model.name, found.verdict)


_OTHER_TASKS = {"replay": _replay, "inspect": _inspect}
"""The tasks that neither write nor prove a model."""
