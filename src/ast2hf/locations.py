"""Where the package keeps what is not Python."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """The configuration: part of the package in a wheel, ``conf/`` of the repository in a clone."""
    packaged = Path(__file__).with_name("conf")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"
