"""From what the user wrote as ``checkpoint=`` to a file on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ast2hf import local_files
from ast2hf.checkpoint import cache, synthetic
from ast2hf.config import Config, Model
from ast2hf.errors import ConfigurationError, InputError, OutputError, printable
from ast2hf.geometry import resolve
from ast2hf.progress import Progress
from ast2hf.secrets import redact

SYNTHETIC = "synthetic"

_SEED = re.compile("[0-9]{1,18}")

NO_SHAPES: Mapping[str, tuple[int, ...]] = {}


@dataclass(frozen=True)
class Source:
    """``uri`` is for people and records; ``published``: the file is the variant's own download.

    ``sha256``: what it must have, where that is known; if it has not, ``remedy`` says what to do.
    """

    path: Path
    uri: str
    published: bool
    sha256: str | None = None
    remedy: str = ""

    def check(self, sha256: str) -> None:
        """Raise InputError where the file, of which ``sha256`` is the hash, is not the one that it must be."""
        if self.sha256 not in (None, sha256):
            raise InputError(f"{printable(self.path)} has SHA-256 {sha256}, not {self.sha256}", self.remedy)


@contextmanager
def locate(config: Config, scratch: Path, stages: Progress) -> Iterator[Source]:
    """``config.checkpoint``: a path, a URL, ``synthetic``, ``synthetic:SEED``, or None for ``config.model.url``.

    A synthetic one is written into ``scratch``. Raises ConfigurationError, InputError, DownloadError, OutputError.
    """
    checkpoint, model = config.checkpoint, config.model
    if checkpoint is None and model.url is None:
        raise ConfigurationError(
            f"model {model.name} has no published checkpoint", "give checkpoint=PATH or checkpoint=URL"
        )
    wanted = model.url if checkpoint is None else checkpoint
    assert wanted is not None
    sha256 = model.sha256.lower() if model.sha256 else None
    kind, _, rest = wanted.partition(":")
    if kind == SYNTHETIC:
        yield _synthesize(wanted, rest, model, scratch, stages)
    elif kind.lower() in ("http", "https"):
        _check_address(wanted)
        folder = local_files.expand(config.paths.cache).absolute()
        with stages("download", f"Download {printable(wanted)}", bar=True) as stage:
            path, sha256 = cache.fetch(wanted, folder, sha256, config.download, stage.progress)
        remedy = "it was changed since it was fetched: delete it, and it is fetched again"
        yield Source(path, redact(wanted), wanted == model.url, sha256, remedy)
    elif "://" in wanted:
        raise ConfigurationError(
            f"checkpoint {printable(wanted)} is neither a path nor an http(s) address",
            "download it and give checkpoint=PATH",
        )
    else:
        path = local_files.expand(wanted).absolute()
        remedy = "give the file that model.sha256 is of, or leave model.sha256 out"
        yield Source(path, str(path), False, sha256, remedy)


def _synthesize(wanted: str, seed: str, model: Model, scratch: Path, stages: Progress) -> Source:
    if wanted != SYNTHETIC and not _SEED.fullmatch(seed):
        raise ConfigurationError(
            f"checkpoint {printable(wanted)} has no valid seed",
            "write synthetic, or synthetic:SEED with a whole number",
        )
    number = int(seed or 0)
    path = scratch / f"{SYNTHETIC}.pth"
    try:
        geometry = resolve(model, NO_SHAPES)
    except InputError:
        raise ConfigurationError(
            f"model {model.name} leaves sizes to its checkpoint, so there is no geometry to make a stand-in of",
            "give checkpoint=PATH, or model.hidden_size, model.num_hidden_layers and model.num_labels",
        ) from None
    with stages("synthesize", f"Make stand-in weights with seed {number}"):
        try:
            synthetic.write(path, geometry, number)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            raise OutputError(
                f"the stand-in cannot be written to {printable(path)}",
                "give output_dir=… on a disk with room (is there a limit on the size of files? see ulimit -f)",
            ) from error
    return Source(path, f"{SYNTHETIC}:{number}", published=False)


def _check_address(url: str) -> None:
    try:
        # A ValueError also where what stands for the port is the beginning of a password with a / or #.
        _ = urlsplit(url).port
    except ValueError:
        raise ConfigurationError("checkpoint is no valid web address", "check it, or give checkpoint=PATH") from None
