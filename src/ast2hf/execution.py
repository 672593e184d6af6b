"""The life of a run: convert, and whatever comes of it, keep the report and record it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import pipeline, sweep
from ast2hf.errors import ConfigurationError, OutputError, TrackingError
from ast2hf.huggingface import folder
from ast2hf.report.report import INTERRUPTED
from ast2hf.run import Outcome, Run

if TYPE_CHECKING:
    from ast2hf.tracking.runs import Recorded


def execute(run: Run, afterwards: ExitStack) -> Outcome:
    """Convert, and whatever comes of it, keep the report in the run's folder and record it.

    A failed run is recorded by ``afterwards``: that takes seconds, and its error is to be shown first.
    """
    config = run.config
    started = time.time()
    try:
        target, skipped = pipeline.convert(run)
    except ConfigurationError:
        raise  # nothing was tried
    except BaseException as error:
        run.report.error = str(error) if isinstance(error, Exception) else INTERRUPTED
        if not config.dry_run:
            _keep_report(run)
            _draw_page(run)
            afterwards.callback(_record, run, None, started, required=False)  # the first error is the one to show
        raise
    if config.dry_run or skipped:
        return Outcome(run.report, target, skipped=skipped)
    _keep_report(run)
    _draw_page(run)
    sent = _record(run, target, started, config.tracking.required)
    return Outcome(run.report, target, sent.run, sent.model) if sent else Outcome(run.report, target)


def _keep_report(run: Run) -> None:
    """Write it to the run's folder. What is published has its own: where there is no room for this one, a note."""
    run.report.timings_s = run.stages.seconds
    try:
        folder.write_json(run.folder / folder.REPORT, run.report.as_dict())
    except OutputError as error:
        run.note(f"not kept: {error.cause}")


def _draw_page(run: Run) -> None:
    if not run.config.tracking.enabled:
        return  # matplotlib would cost a second that the record pays anyway
    try:
        with run.stages.quiet("page"):
            from ast2hf.report import page

            page.write(run.folder, run.config, run.report, run.evidence)
    except OutputError as error:
        run.note(f"not kept: {error.cause}")


def _record(run: Run, target: Path | None, started: float, required: bool) -> Recorded | None:
    """Record the run in MLflow. Raises TrackingError or OutputError only where it is ``required``."""
    if not run.config.tracking.enabled:
        return None
    try:
        with run.stages("record", "Record in MLflow"):
            from ast2hf.report import record
            from ast2hf.tracking import runs

            name = run.config.model.name + sweep.suffix()
            of_sweep = sweep.Sweep.active.record if sweep.Sweep.active else None
            parent = of_sweep.key if of_sweep else None
            told = record.build(run.config, run.report, run.folder, target, started, name, parent)
            return runs.send(told, run.config.tracking, run.config.paths.outputs, run.folder)
    except (TrackingError, OutputError) as error:
        if required:
            raise
        run.note(f"not recorded: {error}")
        return None
    finally:
        _keep_report(run)  # with what the record took, and what came of it
