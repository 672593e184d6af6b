"""A conversion with everything that the command makes of it, in the process of the test."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ast2hf import pipeline
from ast2hf.cli import outcome
from ast2hf.config import Config
from ast2hf.progress import Progress
from ast2hf.results import Conversion, Report


def convert_and_record(config: Config, run_folder: Path) -> Conversion:
    """Do what ``config`` says, then save, record, push and show the outcome, as a job of the command does."""
    task = outcome.Task(config, Conversion(Report(config.model.name)), Progress(), run_folder)
    with ExitStack() as on_exit:
        with outcome.failure_recorded(task, on_exit):
            pipeline.run(task.conversion, config, task.progress)
        outcome.finish(task)
    return task.conversion


def attempted(settings: Config) -> tuple[Conversion, Exception | None]:
    """Run the pipeline; what came of it, as far as it came, and the error."""
    conversion = Conversion(Report(settings.model.name))
    try:
        pipeline.run(conversion, settings, Progress())
    except Exception as error:
        return conversion, error
    return conversion, None
