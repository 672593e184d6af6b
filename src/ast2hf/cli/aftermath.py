"""What a command does with the outcome of a conversion: keep the report, draw the page, record, push, show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from ast2hf import hub
from ast2hf.errors import ConfigurationError, OutputError, TrackingError, VerificationError
from ast2hf.huggingface import folder
from ast2hf.report import summary
from ast2hf.report.report import INTERRUPTED
from ast2hf.run import Outcome, Run
from ast2hf.stdout import printing
from ast2hf.sweep import naming
from ast2hf.sweep.callback import Sweep

if TYPE_CHECKING:
    from ast2hf.tracking.runs import Sent


@contextmanager
def failure_recorded(run: Run, on_exit: ExitStack) -> Iterator[None]:
    """Keep the report of a conversion that fails inside, and have ``on_exit`` record it.

    Recording takes seconds, and the error is to be shown before it.
    """
    try:
        yield
    except ConfigurationError:
        raise  # nothing was tried
    except BaseException as error:
        run.report.error = str(error) if isinstance(error, Exception) else INTERRUPTED
        if not run.config.dry_run:
            _keep_report(run)
            _draw_page(run)
            on_exit.callback(_record, run, None, required=False)  # the first error is the one to show
        if isinstance(error, VerificationError):
            with printing(run.folder):
                summary.show_failure(run.report, run.folder)
        raise


def finish(run: Run, target: Path, skipped: bool) -> Outcome:
    """Keep, record, push and show a conversion that succeeded. Raises TrackingError, HubError, OutputError."""
    config = run.config
    outcome = Outcome(run.report, target, skipped=skipped)
    if not config.dry_run and not skipped:
        _keep_report(run)
        _draw_page(run)
        if sent := _record(run, target, config.tracking.required):
            outcome = replace(outcome, tracked=sent.run, registered=sent.model)
    try:
        if config.hub.push and not config.dry_run:
            with run.stages("push", f"Push to {config.hub.repo_id}"):
                outcome = replace(outcome, pushed=hub.push(target, config.hub))
    finally:  # what is published is shown, pushed or not
        with printing(run.folder):
            summary.show(outcome, run.folder, config.dry_run)
    return outcome


def _keep_report(run: Run) -> None:
    """Write it to the run's folder. What is published has its own: where there is no room for this one, a note."""
    run.report.timings_s = run.stages.seconds
    try:
        folder.write_json(run.folder / folder.REPORT, run.report.as_dict())
    except OutputError as error:
        run.note(f"not saved: {error.cause}")


def _draw_page(run: Run) -> None:
    if not run.config.tracking.enabled:
        return  # matplotlib would cost a second, which recording needs anyway
    try:
        with run.stages.quiet("page"):
            from ast2hf.report import page

            page.write(run.folder, run.config, run.report, run.evidence)
    except OutputError as error:
        run.note(f"not saved: {error.cause}")


def _record(run: Run, target: Path | None, required: bool) -> Sent | None:
    """Record the run in MLflow. Raises TrackingError or OutputError only where it is ``required``."""
    if not run.config.tracking.enabled:
        return None
    try:
        with run.stages("record", "Record in MLflow"):
            from ast2hf.report import record
            from ast2hf.tracking import runs

            overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
            name = run.config.model.name + naming.suffix(overrides)
            parent = Sweep.active.record.key if Sweep.active and Sweep.active.record else None
            built = record.build(run.config, run.report, run.folder, target, run.stages.started, name, parent)
            return runs.send(built, run.config.tracking, run.config.paths.outputs, run.folder)
    except (TrackingError, OutputError) as error:
        if required:
            raise
        run.note(f"not recorded: {error}")
        return None
    finally:
        _keep_report(run)  # with what recording took, and what came of it
