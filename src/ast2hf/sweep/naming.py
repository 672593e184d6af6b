"""What distinguishes the jobs of a sweep, and how it shows in the names of their folders and MLflow runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ast2hf import privacy
from ast2hf.secrets import redact

axes: list[str] = []
"""The swept keys, set by the callback in every process that runs jobs of a sweep. Empty in a single run."""

parent: str | None = None
"""The key of the sweep's MLflow record, if there is one; also set by the callback."""

_NAMED_ELSEWHERE = ("model", "experiment", "sweep", "overwrite", "output_dir", "skip_existing", "debug", "dry_run")
"""Keys left out of a folder's name: it begins with the model's name, and the other keys do not change the model."""


def distinguishing_overrides(overrides: Sequence[str]) -> list[str]:
    """Those of a job's ``overrides`` that differ between the jobs of its sweep."""
    return [o for o in overrides if o.partition("=")[0] in axes]


def suffix(overrides: Sequence[str]) -> str:
    """What distinguishes a job's folder from those of jobs with the same model, as in ``_device=cpu``.

    Empty in a single run.
    """
    distinguishing = distinguishing_overrides(overrides)
    return "".join(f"_{_short(o)}" for o in distinguishing if o.partition("=")[0] not in _NAMED_ELSEWHERE)


def for_tables(override: str) -> str:
    """``override`` for the table of a sweep, which may leave the machine: with names instead of local paths."""
    key, _, value = override.partition("=")
    shown = privacy.setting(key, redact(value))
    return f"{key}={shown}" if shown == redact(value) else _short(override)  # two paths may end in one name


def _short(override: str) -> str:
    """``override`` as part of a file name. If something has to be left out, a hash keeps it unique."""
    key, _, value = override.partition("=")
    shown = redact(value).partition("?")[0]
    short = re.sub(r"[^A-Za-z0-9._-]", "", re.split(r"[/\\]", shown.rstrip("/\\"))[-1])[-40:]
    if short == value:
        return f"{key}={value}"
    return f"{key}={short}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
