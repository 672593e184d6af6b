"""Errors of Hydra and OmegaConf on one line, with the nearest valid name and the remedy.

Much is extracted from the text of their messages, since their exceptions carry little else. That is safe while
pyproject.toml pins hydra-core below 1.4 and omegaconf below 2.4; the tests provoke every kind of error for real.
"""

from __future__ import annotations

import re
import sys

from hydra.errors import MissingConfigException, OverrideParseException

from ast2hf.errors import CHOOSE, ConfigurationError, first_line, printable
from ast2hf.local_files import conf_folder
from ast2hf.settings import GROUPS, nearest, unknown_key
from ast2hf.validation import TASKS


def explain(error: Exception) -> ConfigurationError:
    """An error of Hydra or OmegaConf on one line, with the nearest valid name."""
    explained = _explain(error)
    explained.__cause__ = error
    return explained


def _explain(error: Exception) -> ConfigurationError:
    if isinstance(error, MissingConfigException) and (needed := _missing_launcher(str(error.missing_cfg_file))):
        return needed
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _unknown_choice(str(error.missing_cfg_file), [str(option) for option in error.options])
    if refused := _of_a_resolver(error):
        return refused
    text = "\n".join(str(e) for e in _chain(error))
    if isinstance(error, OverrideParseException):
        return _unparsable(error.override)
    if match := re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is )?not in", text):
        full_key = re.search(r"full_key: (\S+)", text)
        key = match[1] or (full_key[1] if full_key else match[2])
        if key in GROUPS:
            return ConfigurationError(f"{key} must be set to the name of a choice", "see --help for the choices")
        return unknown_key(key)
    if "Config group override must be a string or a list" in text:
        given = [a for a in sys.argv[1:] if a.partition("=")[0] in GROUPS and a.lower().endswith("=null")]
        return ConfigurationError(f"null is not a choice: {' '.join(given)}", "see --help for the choices")
    if match := re.search(r"full_key: (\S+)", text):
        if f"'{CHOOSE}'" in text:
            return ConfigurationError(
                f"{match[1]} is still {CHOOSE}", f"set it to the value of the training: every {CHOOSE} is a placeholder"
            )
        if "is not Optional" in text:
            return ConfigurationError(f"{match[1]} must not be null", "see --cfg job for the keys and their types")
        return ConfigurationError(
            f"{match[1]}: {first_line(_chain(error)[-1])}", "see --cfg job for the keys and their types"
        )
    if "Ambiguous value" in text:
        return ConfigurationError(first_line(error), "add -m to run one job per value")
    return ConfigurationError(first_line(error), "see --help")


def _of_a_resolver(error: BaseException | None) -> ConfigurationError | None:
    """The error raised by one of our resolvers: OmegaConf raises its own in its place, without chaining it."""
    while error is not None and not isinstance(error, ConfigurationError):
        error = error.__context__
    return error


def _chain(error: BaseException) -> list[BaseException]:
    return [error, *(_chain(error.__cause__) if error.__cause__ else [])]


def _unknown_choice(missing: str, options: list[str]) -> ConfigurationError:
    group, _, choice = missing.rpartition("/")
    files = sorted(option for option in options if ":" not in option)  # not each of cuda:0, cuda:1, ...
    return ConfigurationError(
        f"{printable(group)}={printable(choice)} is not a choice",
        f"{nearest(choice, files)}choices: {', '.join(files)}",
    )


_LAUNCHERS = {"joblib": "joblib", "ray": "ray", "submitit_local": "slurm_local", "submitit_slurm": "slurm"}
"""For each plugin launcher, the choice of scale= that uses it."""


def _missing_launcher(missing: str) -> ConfigurationError | None:
    group, _, launcher = missing.rpartition("/")
    if group != "hydra/launcher" or launcher not in _LAUNCHERS:
        return None
    scale = _LAUNCHERS[launcher]
    extra = scale.removesuffix("_local")
    return ConfigurationError(
        f"scale={scale} needs an extra that is not installed",
        f"run pip install 'ast2hf[{extra}]', or leave out scale=… to run the jobs here, one after the other",
    )


def _unparsable(override: str | None) -> ConfigurationError:
    shown = printable(override or "")
    key, equals, value = shown.partition("=")
    if not equals:
        return ConfigurationError(f"{shown} is not of the form key=value", f"{_named(shown)}see --help")
    return ConfigurationError(
        f"{shown} cannot be parsed",
        "put a value with special characters in double quotes, and the whole argument in single quotes: "
        f"{_quoted(key, value)}",
    )


def _quoted(key: str, value: str) -> str:
    return f"""'{key}="{value}"'"""


def _named(word: str) -> str:
    """A question that suggests a key for a ``word`` given without one, or nothing."""
    if word in TASKS:
        return f"did you mean task={word}? "
    if "." in word or "/" in word:
        return f"did you mean {_quoted('checkpoint', word) if ' ' in word else f'checkpoint={word}'}? "
    groups = [group for group in GROUPS if (conf_folder() / group / f"{word}.yaml").is_file()]
    return f"did you mean {groups[0]}={word}? " if groups else ""
