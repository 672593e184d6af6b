"""Conversion, inspection and verification from Python, with the settings and the pipeline of the command.

Nothing is printed, recorded in MLflow or pushed to the Hub, and no state of the process is changed beyond a
call: logging, environment, threads, signals and the caller's own Hydra stay as they are. Calls may be made in several
threads; their proofs wait for each other, since each uses all cores.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from os import PathLike

from ast2hf.config import Config
from ast2hf.errors import Ast2hfError, ConfigurationError
from ast2hf.inspection import Inspection
from ast2hf.progress import Progress
from ast2hf.results import Conversion, Report

_Path = str | PathLike[str]

_COMPOSING = threading.Lock()
"""Hydra composes in one thread at a time: it keeps its state in the process."""


def convert(
    checkpoint: _Path | None = None, *, model: str = "ast_10_10_0_4593", stats: str | None = None,
    loss: str | None = None, labels: _Path | None = None, output_dir: _Path | None = None, audio: _Path | None = None,
    device: str = "cpu", overwrite: bool = False, skip_existing: bool = False, overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Conversion:  # fmt: skip
    """Convert a checkpoint to a Hugging Face model folder, prove it, and publish it at ``output_dir``.

    ``checkpoint``: a path, a URL, ``synthetic``; None for the official file of ``model``. ``model``: one of the
    choices of ``ast2hf --help``, ``custom`` for your own. ``stats``, ``loss``: of the training of a custom model, also
    choices of that list. ``output_dir``: None for ``outputs/models/<name>``. ``labels``, ``audio``: like the keys
    of the command. ``overrides``: any other keys as on the command line, such as ``["model.mean=-5.1",
    "model.std=4.2"]`` in place of ``stats``. ``progress``: is called with the stages; by default nothing is shown.

    Raises the errors of :mod:`ast2hf.errors`, each with the unfinished report in ``report``; nothing is then
    published, and an existing folder is left as it was.
    """
    given = {"checkpoint": checkpoint, "output_dir": output_dir, "labels": labels, "audio": audio}
    flags = {"overwrite": overwrite, "skip_existing": skip_existing}
    choices = {"model": model, "stats": stats, "loss": loss, "device": device}
    return _run("convert", {**given, **flags}, choices, overrides, progress)


def verify(
    folder: _Path, checkpoint: _Path | None = None, *, model: str = "ast_10_10_0_4593", stats: str | None = None,
    loss: str | None = None, audio: _Path | None = None, device: str = "cpu", overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:  # fmt: skip
    """Prove someone else's model folder against its source checkpoint. Writes nothing.

    ``folder``: a local one, or a Hub id such as ``MIT/ast-finetuned-speech-commands-v2``. The rest is as in
    :func:`convert`. Raises VerificationError if it does not compute the same function; its ``report`` has the
    measurements.
    """
    given = {"folder": folder, "checkpoint": checkpoint, "audio": audio}
    choices = {"model": model, "stats": stats, "loss": loss, "device": device}
    return _run("verify", given, choices, overrides, progress).report


def inspect(checkpoint: _Path, *, overrides: Sequence[str] = (), progress: Progress | None = None) -> Inspection:
    """Find out what a checkpoint is and how to convert it. Writes nothing, and imports no torch.

    ``overrides``: what is not in the file, as on the command line, such as ``["model.family=ssast"]``. If the file
    cannot be converted, the verdict is ``refused``. Raises InputError for one that cannot be read,
    ConfigurationError, DownloadError.
    """
    from ast2hf.inspecting import inspect_file, override
    from ast2hf.validation import validate

    config = _compose(["task=inspect", "model=custom", *overrides])
    config.checkpoint = str(checkpoint)
    _require_own_matters(config)
    validate(config)
    given = ["model=custom", override("checkpoint", str(checkpoint)), *overrides]
    return inspect_file(config, given, progress or Progress())


def _run(
    task: str, given: Mapping[str, _Path | bool | None], choices: Mapping[str, str | None], overrides: Sequence[str],
    progress: Progress | None,
) -> Conversion:  # fmt: skip
    chosen = (f"{group}={choice}" for group, choice in choices.items() if choice is not None)
    config = _compose([f"task={task}", *chosen, *overrides])
    for key, value in given.items():  # not as overrides: a path may hold characters that are special there
        if value is not None:
            setattr(config, key, value if isinstance(value, bool) else str(value))
    from ast2hf import pipeline
    from ast2hf.settings import resolve
    from ast2hf.validation import validate

    _require_own_matters(config)
    resolve(config)
    validate(config)
    conversion = Conversion(Report(config.model.name))
    try:
        pipeline.run(conversion, config, progress or Progress())
    except Ast2hfError as error:
        error.report = conversion.report
        raise
    return conversion


def _require_own_matters(config: Config) -> None:
    """Raise ConfigurationError for what only the command does: threads of the process, and pushing to the Hub."""
    if config.threads is not None:
        raise ConfigurationError("threads can be set only on the command line", "call torch.set_num_threads() first")
    if config.hub.push:
        raise ConfigurationError("hub=push works only on the command line", "push the folder with huggingface_hub")


def _compose(overrides: Sequence[str]) -> Config:
    """The settings of a command line with ``overrides``. Raises ConfigurationError."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.singleton import Singleton
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from ast2hf.hydra_errors import explain
    from ast2hf.local_files import conf_folder
    from ast2hf.settings import register, typed

    with _COMPOSING:
        before = Singleton.get_state()
        try:
            GlobalHydra.instance().clear()
            register()
            with initialize_config_dir(str(conf_folder()), version_base="1.3"):
                return typed(compose("config", overrides=list(overrides)))
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error) from error
        finally:
            Singleton.set_state(before)
