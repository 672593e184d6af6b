"""The life of a run: convert, and whatever comes of it, keep the report and record it."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import pipeline, sweep
from ast2hf.errors import ConfigurationError, TrackingError
from ast2hf.huggingface import folder
from ast2hf.report.report import INTERRUPTED
from ast2hf.run import Outcome, Run

if TYPE_CHECKING:
    from ast2hf.tracking.runs import Sent


def execute(run: Run) -> Outcome:
    """Convert, and whatever comes of it, keep the report in the run's folder and record it."""
    config = run.config
    started = time.time()
    try:
        target, skipped = pipeline.convert(run)
    except ConfigurationError:
        raise  # nothing was tried
    except BaseException as error:
        run.report.error = str(error) if isinstance(error, Exception) else INTERRUPTED
        if not config.dry_run:
            with suppress(TrackingError):  # the first error is the one to show
                _keep(run, None, started)
        raise
    if config.dry_run or skipped:
        return Outcome(run.report, target, skipped=skipped)
    sent = _keep(run, target, started)
    return Outcome(run.report, target, sent.run, sent.model) if sent else Outcome(run.report, target)


def _keep(run: Run, target: Path | None, started: float) -> Sent | None:
    """Write the report to the run folder and record it. Raises TrackingError only where tracking is required."""
    path = run.folder / folder.REPORT
    run.report.timings_s = run.stages.seconds
    folder.write_json(path, run.report.as_dict())
    if not run.config.tracking.enabled:
        return None  # nor is a page drawn: matplotlib would cost a second that the record pays anyway
    try:
        with run.stages.quiet("page"):
            from ast2hf.report import page

            page.write(run.folder, run.config, run.report, run.evidence)
        with run.stages("record", "Record in MLflow"):
            from ast2hf.report import record
            from ast2hf.tracking import runs

            name = run.config.model.name + sweep.suffix()
            of_sweep = sweep.Sweep.active.record if sweep.Sweep.active else None
            parent = of_sweep.key if of_sweep else None
            told = record.build(run.config, run.report, run.folder, target, started, name, parent)
            return runs.send(told, run.config.tracking, run.config.paths.outputs, run.folder)
    except TrackingError as error:
        if run.config.tracking.required:
            raise
        run.note(f"not recorded: {error}")
        return None
    finally:
        run.report.timings_s = run.stages.seconds
        folder.write_json(path, run.report.as_dict())
