"""Run the command line and return an exit code: Hydra composes the configuration and starts the jobs."""

from __future__ import annotations

import sys

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ast2hf import hydra_errors
from ast2hf.cli import errors, process, signals
from ast2hf.cli.job import jobs, run_job
from ast2hf.errors import Ast2hfError
from ast2hf.local_files import conf_folder
from ast2hf.sweep.callback import Sweep


def launch(debug: bool) -> int:
    """Run the command in ``sys.argv``. Returns the exit code."""
    process.tune_process()
    signals.raise_exceptions()
    try:
        code, refused = _run_jobs(debug)
        if Sweep.active is None:
            return code or (jobs[0].code if jobs else 0)
        try:
            return Sweep.active.finish(refused) or code
        except Ast2hfError as error:
            return code or errors.show(error, debug)
        except OSError as error:
            return code or errors.show(errors.run_folder_unwritable(error), debug)
    finally:
        signals.end_at_once()


def _run_jobs(debug: bool) -> tuple[int, bool]:
    """The exit code for an error outside of the jobs (0 if none), and whether a job's configuration caused it."""
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(run_job)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # Hydra raises ValueError for a null group
        return errors.show(hydra_errors.explain(error), debug), not isinstance(error, ValueError)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in errors.DISK_ERRNOS:
            return errors.show(errors.run_folder_unwritable(error), debug), False
        if Sweep.active is None:
            raise
        return errors.show(errors.launcher_gave_up(error), debug), False
    except KeyboardInterrupt:
        print("interrupted; nothing further was published", file=sys.stderr)
        return signals.INTERRUPTED, False
    return 0, False
