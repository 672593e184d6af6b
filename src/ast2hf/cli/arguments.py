"""Process the command line before Hydra reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ast2hf import secrets
from ast2hf.errors import ConfigurationError, printable
from ast2hf.local_files import conf_folder


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Move ``-m`` before the overrides: between two of them, argparse would reject those after it."""
    multirun = {"-m", "--multirun"}
    return [a for a in arguments if a in multirun] + [a for a in arguments if a not in multirun]


def with_model(arguments: Sequence[str]) -> list[str]:
    """Add model=custom if task=inspect names no model: the default is an official one, which the file may not be."""
    named = any(a.lstrip("+").startswith(("model=", "sweep=")) for a in arguments)
    return [*arguments, *(["model=custom"] if "task=inspect" in arguments and not named else [])]


def config_folders(arguments: Sequence[str]) -> Iterator[Path]:
    """The folders in which Hydra looks for choices: those given with ``--config-dir``, then that of the package."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument in ("--config-dir", "-cd"):
            yield Path(following)
        elif argument.startswith("--config-dir="):
            yield Path(argument.partition("=")[2])
    yield conf_folder()


def require_no_dashes(arguments: Sequence[str]) -> None:
    """Raise ConfigurationError for a setting that is written as an option, as in ``--checkpoint=a.pth``."""
    options = [a for a in arguments if a.startswith("--") and "=" in a]
    if not options:
        return
    from ast2hf.settings import GROUPS, keys

    known = {*GROUPS, *keys()}
    for option in options:
        key, _, value = option.removeprefix("--").partition("=")
        if key in known:
            raise ConfigurationError(f"--{key} is not an option", f"write {key}={printable(value, 60)}")


def require_no_secrets(arguments: Sequence[str]) -> None:
    """Raise ConfigurationError for a token, a password, or a URL that contains one.

    Hydra writes the command line to files before any of our code runs.
    """
    for argument in arguments:
        if secrets.has_token(argument):
            raise ConfigurationError(
                "the command line contains a token or password, which would end up in files and in the shell history",
                "export HF_TOKEN=…, or log in with: hf auth login",
            )
        if secrets.redact(argument) != argument:
            key = argument.partition("=")[0].lstrip("+")
            key = "checkpoint" if "://" in key else key  # a URL alone
            variable = key.upper().replace(".", "_") + ("" if key.endswith(("uri", "url")) else "_URL")
            raise ConfigurationError(
                "the command line contains a URL with a possible secret (a password, or the query of a signed link), "
                "which would end up in files and in the shell history",
                f"export {variable}='…', and set {key}='${{oc.env:{variable}}}'",
            )


def wants_debug(arguments: Sequence[str]) -> bool:
    """Whether ``debug`` is true, even if the configuration cannot be composed."""
    values = {key.lstrip("+"): value.strip("'\"") for key, _, value in (a.partition("=") for a in arguments)}
    if "debug" in values:
        return _is_true(values["debug"])
    if "experiment" in values:
        for folder in config_folders(arguments):
            path = folder / "experiment" / f"{values['experiment']}.yaml"
            if os.path.isfile(path):  # noqa: PTH113  Path.is_file raises PermissionError
                return _is_true(_debug_of(path))
    return False


def _debug_of(experiment: Path) -> object:
    with suppress(Exception):  # this file may be the reason that it cannot be composed
        from omegaconf import OmegaConf

        return OmegaConf.select(OmegaConf.load(experiment), "debug")
    return None


def _is_true(value: object) -> bool:
    from omegaconf import BooleanNode

    with suppress(Exception):
        return str(BooleanNode(value)) == "True"
    return False
