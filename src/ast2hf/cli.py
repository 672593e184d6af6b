"""From the command line to an exit code: errors become one line each, jobs are run, outcomes shown."""

from __future__ import annotations

import errno
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ast2hf import secrets, signals
from ast2hf.composition import typed
from ast2hf.config import Config
from ast2hf.errors import (
    Ast2hfError,
    ConfigurationError,
    HubError,
    OutputError,
    VerificationError,
    first_line,
    printable,
)
from ast2hf.explain import explain
from ast2hf.report.report import Report
from ast2hf.sweep import Job, Sweep, require_own_repository
from ast2hf.validation import validate

if TYPE_CHECKING:
    from ast2hf.run import Outcome

log = logging.getLogger(__name__)

DEFECT = 1

_OF_A_DISK = (errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EROFS)


def run_job(config: DictConfig) -> Job:
    """Run one composed job. Expected errors are shown here, not raised."""
    logging.raiseExceptions = False  # where there is no room for the log, a traceback for each of its lines is no help
    with ExitStack() as afterwards:
        return _run_job(config, afterwards)


def _run_job(config: DictConfig, afterwards: ExitStack) -> Job:
    report = Report("")
    failure: Ast2hfError
    try:
        settings = typed(config)
        report.model = settings.model.name
        validate(settings)
        require_own_repository(config.hub)
        if settings.tracking.replay:
            return _replay(settings)
        outcome = _convert(settings, report, Path(HydraConfig.get().runtime.output_dir), afterwards)
    except OmegaConfBaseException as error:
        failure = explain(error)
    except Ast2hfError as error:
        failure = error
    except Exception as error:
        failure = _defect(error)
        failure.__cause__ = error
    else:
        status = "skipped" if outcome.skipped else "planned" if settings.dry_run else report.status
        return replace(_job(report, 0), status=status, folder=str(outcome.target), tracked=outcome.tracked)
    log.error("failed", exc_info=failure)
    failed = replace(_job(report, fail(failure, bool(config.debug))), error=str(failure))
    published = report.status == "passed" and isinstance(failure, HubError)
    return replace(failed, status="not pushed") if published else failed


def _replay(config: Config) -> Job:
    from ast2hf.tracking import runs

    count = runs.replay(config.tracking, config.paths.outputs)
    print(f"{count} records sent to {printable(config.tracking.uri)}")
    return Job(0, "", "replayed")


def _job(report: Report, code: int) -> Job:
    logits, seconds = report.logits, report.timings_s.get("total")
    return Job(code, report.model, report.status, logits.max_abs_diff, logits.atol, seconds)


def _convert(config: Config, report: Report, run_folder: Path, afterwards: ExitStack) -> Outcome:
    from ast2hf import execution, hub_upload
    from ast2hf.report import summary
    from ast2hf.run import Run
    from ast2hf.stages import Stages

    if config.hub.push:
        hub_upload.check()
    run = Run(config, report, Stages(), run_folder)
    try:
        outcome = execution.execute(run, afterwards)
    except VerificationError:
        summary.show_failure(report, run_folder)
        raise
    try:
        if config.hub.push and not config.dry_run:
            with run.stages("push", f"Push to {config.hub.repo_id}"):
                outcome = replace(outcome, pushed=hub_upload.push(outcome.target, config.hub))
    finally:  # what is published is shown, pushed or not
        _show(outcome, run_folder, config.dry_run)
    return outcome


def _show(outcome: Outcome, run_folder: Path, dry_run: bool) -> None:
    from ast2hf.report import summary

    try:
        summary.show(outcome, run_folder, dry_run)
    except OSError as error:
        raise OutputError(
            f"the result cannot be printed to stdout ({error.strerror})", f"it stands in {run_folder}"
        ) from error


def main(launch: Callable[[], Any], jobs: list[Job]) -> int:
    """Let Hydra compose and run the jobs; ``jobs`` collects those run in this process. Returns the exit code."""
    sys.argv[1:] = secrets.put_aside(flags_first(sys.argv[1:]))
    if any(map(secrets.has_token, sys.argv[1:])):
        return fail(
            ConfigurationError(
                "the command line gives a token or password, and would leave it in files and in the shell's history",
                "export HF_TOKEN=…, or log in with: hf auth login",
            ),
            debug=False,
        )
    debug = "debug=true" in sys.argv
    signals.raise_exceptions()
    try:
        return _launched(launch, jobs, debug)
    finally:
        signals.end_at_once()


def _launched(launch: Callable[[], Any], jobs: list[Job], debug: bool) -> int:
    code = 0
    refused = False
    try:
        launch()
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # Hydra raises ValueError for a null group
        code = fail(explain(error), debug)
        refused = not isinstance(error, ValueError)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_A_DISK:
            code = fail(_no_run_folder(error), debug)
        elif Sweep.active is not None:
            code = fail(_launcher_gave_up(error), debug)
        else:
            raise
    except KeyboardInterrupt:
        print("interrupted; nothing more was published", file=sys.stderr)
        code = signals.INTERRUPTED
    if Sweep.active is None:
        return code or (jobs[0].code if jobs else 0)
    try:
        return Sweep.active.finish(refused) or code
    except Ast2hfError as error:
        return code or fail(error, debug)
    except OSError as error:
        return code or fail(_no_run_folder(error), debug)


def flags_first(arguments: list[str]) -> list[str]:
    """Move ``-m`` before the overrides: between two of them, argparse would refuse those behind it."""
    multirun = {"-m", "--multirun"}
    return [a for a in arguments if a in multirun] + [a for a in arguments if a not in multirun]


def fail(error: Ast2hfError, debug: bool) -> int:
    """Show ``error`` in one line on stderr, with the traceback where asked for; return its exit code."""
    if debug:
        print(secrets.redact("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code


def _defect(error: Exception) -> Ast2hfError:
    return Ast2hfError(
        f"unexpected {type(error).__name__}: {error}",
        "this is a defect of ast2hf: please report it with the log of the run folder",
    )


def _launcher_gave_up(error: Exception) -> Ast2hfError:
    """Jobs show their own errors, so one that comes through the launcher says that a process was lost."""
    return Ast2hfError(
        f"the launcher gave up ({type(error).__name__}: {first_line(error)})",
        "the table has what each job left; to go on, run it again with skip_existing=true",
    )


def _no_run_folder(error: OSError) -> OutputError:
    """Jobs show their own errors; what comes from Hydra itself is that it cannot write the folder of the run."""
    return OutputError(
        f"the run's folder cannot be written ({first_line(error)})", "give paths.outputs=… where there is room for it"
    )
