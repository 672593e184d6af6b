"""Handle the outcome of a conversion: save the report, draw the page, record, push, show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, OutputError, TrackingError, VerificationError
from ast2hf.formats.huggingface import names
from ast2hf.output.files import write_json, writing
from ast2hf.privacy import local_paths, without_paths
from ast2hf.progress import Progress
from ast2hf.render import inspection, terminal
from ast2hf.results import Conversion
from ast2hf.stdout import printing
from ast2hf.sweep import naming

if TYPE_CHECKING:
    from ast2hf.tracking.runs import Recorded

NEEDED = (
    "matplotlib.backends.backend_svg",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow",
    "ast2hf.render.page",
    "ast2hf.tracking.runs",
)
"""Modules that a recorded task needs at its end; importing them takes two seconds."""

PAGE = "report.html"
CLASSES = "classes.csv"


@dataclass(frozen=True)
class Task:
    """One task of a command, and the folder for its report and records."""

    config: Config
    conversion: Conversion
    progress: Progress
    run_folder: Path

    def note(self, text: str) -> None:
        self.conversion.report.notes.append(without_paths(text, local_paths(self.config)))


@contextmanager
def failure_recorded(task: Task, on_exit: ExitStack) -> Iterator[None]:
    """Save the report if the task inside fails, and record it in ``on_exit``.

    Recording takes seconds, and the error should be shown before that.
    """
    try:
        yield
    except ConfigurationError:
        raise  # nothing was attempted
    except BaseException as error:
        if not task.config.dry_run:
            _save_report(task)
            _draw_page(task)
            on_exit.callback(_record, task, required=False)  # the first error is the one to show
        if isinstance(error, VerificationError):
            with printing(task.run_folder):
                terminal.show_failure(task.conversion.report, list(_kept(task.run_folder)))
        raise


def finish(task: Task) -> Recorded | None:
    """Save, record, push and show a task that succeeded. Raises TrackingError, HubError, OutputError."""
    config, conversion = task.config, task.conversion
    recorded: Recorded | None = None
    pushed: str | None = None
    try:
        if not config.dry_run and not conversion.skipped:
            _save_report(task)
            _draw_page(task)
            recorded = _record(task, config.tracking.required)
        if config.hub.push and not config.dry_run and conversion.folder is not None:
            from ast2hf import hub_upload
            from ast2hf.render import card

            with task.progress("push", f"Push to {config.hub.repo_id}"):
                written = (conversion.folder / names.CARD).read_text(encoding="utf-8")
                content = card.with_place(written, str(config.hub.repo_id)).encode()
                pushed = hub_upload.push(conversion.folder, config.hub, content)
    finally:  # a published model is shown, whether recorded and pushed or not
        with printing(task.run_folder):
            verdict = "planned, nothing written" if config.dry_run else None
            terminal.show(conversion.report, list(_lines(task, recorded, pushed)), verdict)
    return recorded


def _lines(task: Task, recorded: Recorded | None, pushed: str | None) -> Iterator[tuple[str, str]]:
    yield from terminal.about(task.conversion.report)
    if task.config.dry_run:
        if geometry := task.conversion.report.geometry:
            yield from inspection.sizes(geometry)
        restored = task.config.task == "restore"
        yield "would be", str(task.config.checkpoint if restored else task.config.output_dir)
        return
    yield from _kept(task.run_folder)
    if recorded:
        yield "mlflow", recorded.run
        if recorded.model:
            yield "registered", recorded.model
    if pushed:
        yield "hub", pushed
    if task.conversion.restored is not None:
        yield "checkpoint", str(task.conversion.restored)
    if task.conversion.folder is None:
        return
    yield "folder", str(task.conversion.folder)
    head = "AutoModel" if task.conversion.report.head == "none" else "AutoModelForAudioClassification"
    yield "use", f"{head}.from_pretrained({str(task.conversion.folder)!r})"


def _kept(run_folder: Path) -> Iterator[tuple[str, str]]:
    for name, file in (("report", names.REPORT), ("page", PAGE)):
        if (run_folder / file).exists():
            yield name, str(run_folder / file)


def _save_report(task: Task) -> None:
    """Write the report to the run folder, or note why not: a published model has its own copy."""
    task.conversion.report.timings_s = task.progress.seconds
    try:
        write_json(task.run_folder / names.REPORT, task.conversion.report.as_dict())
    except OutputError as error:
        task.note(f"not saved: {error.cause}")


def _draw_page(task: Task) -> None:
    if not task.config.tracking.enabled and task.conversion.report.evaluation is None:
        return  # matplotlib takes a second to import; recording needs it anyway
    from ast2hf.render import page
    from ast2hf.tracking.params import params

    conversion, path = task.conversion, task.run_folder / PAGE
    try:
        with task.progress.quiet("page"), writing(path):
            page.write(path, conversion.report, conversion.figures, params(task.config, conversion.report.geometry))
    except OutputError as error:
        task.note(f"not saved: {error.cause}")


def _record(task: Task, required: bool) -> Recorded | None:
    """Record the task in MLflow. Raises TrackingError or OutputError only if this is ``required``."""
    config, conversion = task.config, task.conversion
    if not config.tracking.enabled:
        return None
    try:
        with task.progress("record", "Record in MLflow"):
            from ast2hf.tracking import record, runs
            from ast2hf.tracking.params import params

            overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
            built = record.build(
                conversion.report,
                conversion.report.model + naming.suffix(overrides),
                task.progress.started,
                params=params(config, conversion.report.geometry),
                artifacts=list(_artifacts(task)),
                parent=naming.parent,
                published=conversion.folder if config.tracking.log_model else None,
            )
            return runs.send(built, config.tracking, config.paths.outputs, task.run_folder)
    except (TrackingError, OutputError) as error:
        if required:
            raise
        task.note(f"not recorded: {error}")
        return None
    finally:
        _save_report(task)  # again, with the time and result of the recording


def _artifacts(task: Task) -> Iterator[Path]:
    """The files to log with the run. Writes the table of classes. Raises OutputError."""
    yield task.run_folder / names.REPORT
    yield task.run_folder / PAGE
    evaluation = task.conversion.report.evaluation
    if evaluation is not None:
        from ast2hf.tracking import classes

        path = task.run_folder / CLASSES
        with writing(path):
            yield classes.write(path, evaluation)
    if task.conversion.folder is not None:
        yield task.conversion.folder / names.CARD
