"""From what the user wrote as ``checkpoint=`` to a file on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ast2hf import local_files
from ast2hf.checkpoint import download, synthetic
from ast2hf.config import Model
from ast2hf.errors import ConfigurationError, InputError, OutputError, printable
from ast2hf.geometry import resolve
from ast2hf.stages import Stages

SYNTHETIC = "synthetic"

_SEED = re.compile("[0-9]{1,18}")

NO_SHAPES: Mapping[str, tuple[int, ...]] = {}


@dataclass(frozen=True)
class Source:
    """``uri`` is for people and records; ``published``: the file is the variant's own download."""

    path: Path
    uri: str
    published: bool


@contextmanager
def locate(checkpoint: str | None, model: Model, cache: Path, scratch: Path, stages: Stages) -> Iterator[Source]:
    """``checkpoint``: a path, a URL, ``synthetic``, ``synthetic:SEED``, or None for ``model.url``.

    A synthetic one is written into ``scratch``. Raises ConfigurationError, InputError, DownloadError, OutputError.
    """
    if checkpoint is None and model.url is None:
        raise ConfigurationError(
            f"model {model.name} has no published checkpoint", "give checkpoint=PATH or checkpoint=URL"
        )
    wanted = model.url if checkpoint is None else checkpoint
    assert wanted is not None
    kind, _, rest = wanted.partition(":")
    if kind == SYNTHETIC:
        yield _synthesize(wanted, rest, model, scratch, stages)
    elif kind.lower() in ("http", "https"):
        public = _public(wanted)
        with stages("download", f"Download {printable(public)}", bar=True) as stage:
            path = download.fetch(wanted, cache, stage.progress)
        published = wanted == model.url
        yield Source(path, wanted if published else public, published)
    elif "://" in wanted:
        raise ConfigurationError(
            f"checkpoint {printable(wanted)} is neither a path nor an http(s) address",
            "download it and give checkpoint=PATH",
        )
    else:
        path = local_files.expand(wanted).absolute()
        yield Source(path, str(path), published=False)


def _synthesize(wanted: str, seed: str, model: Model, scratch: Path, stages: Stages) -> Source:
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


def _public(url: str) -> str:
    try:
        return download.public(url)
    except ValueError:
        raise ConfigurationError("checkpoint is no valid web address", "check it, or give checkpoint=PATH") from None
