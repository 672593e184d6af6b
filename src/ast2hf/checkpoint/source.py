"""Turn the user's ``checkpoint=`` into a file on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ast2hf import local_files
from ast2hf.checkpoint import cache, synthetic
from ast2hf.config import Download, Variant
from ast2hf.errors import ConfigurationError, InputError, OutputError, printable
from ast2hf.families.base import CLASSIFICATION, Family
from ast2hf.progress import BYTES, Progress
from ast2hf.secrets import redact

SYNTHETIC = "synthetic"

_SEED = re.compile("[0-9]{1,18}")


@dataclass(frozen=True)
class Source:
    """``uri`` is for people and records: for a local file, only its name. ``official``: the variant's own download.

    ``sha256``: the expected value, if known; ``remedy`` says what to do if the file has another.
    """

    path: Path
    uri: str
    official: bool
    sha256: str | None = None
    remedy: str = ""

    def check(self, sha256: str) -> None:
        """Raise InputError if the file's ``sha256`` is not the expected one."""
        if self.sha256 not in (None, sha256):
            raise InputError(f"{printable(self.path)} has SHA-256 {sha256}, not {self.sha256}", self.remedy)


@contextmanager
def locate(
    checkpoint: str | None, variant: Variant, family: Family, cache_folder: Path, limits: Download, scratch: Path,
    progress: Progress,
) -> Iterator[Source]:  # fmt: skip
    """``checkpoint``: a path, a URL, ``synthetic``, ``synthetic:SEED``, or None for the variant's own URL.

    A synthetic one, of ``family``, is written into ``scratch``. Raises ConfigurationError, InputError, DownloadError,
    OutputError.
    """
    requested = variant.url if checkpoint is None else checkpoint
    if requested is None:
        raise ConfigurationError(
            f"model {variant.name} has no official checkpoint", "set checkpoint=PATH or checkpoint=URL"
        )
    sha256 = variant.sha256.lower() if variant.sha256 else None
    kind, _, rest = requested.partition(":")
    if kind == SYNTHETIC:
        yield _synthesize(requested, rest, variant, family, scratch, progress)
    elif kind.lower() in ("http", "https"):
        _check_address(requested)
        with progress("download", f"Download {printable(requested)}", bar=BYTES) as stage:
            path, sha256 = cache.fetch(requested, cache_folder, sha256, limits, stage.progress)
        remedy = "delete it to download it again: it has changed since it was downloaded"
        yield Source(path, redact(requested), requested == variant.url, sha256, remedy)
    elif "://" in requested:
        raise ConfigurationError(
            f"checkpoint {printable(requested)} is neither a path nor an http(s) URL",
            "download it and set checkpoint=PATH",
        )
    else:
        path = local_files.expand(requested).absolute()
        remedy = "use the file that model.sha256 belongs to, or leave out model.sha256"
        yield Source(path, path.name, False, sha256, remedy)


def _synthesize(
    requested: str, seed: str, variant: Variant, family: Family, scratch: Path, progress: Progress
) -> Source:
    if requested != SYNTHETIC and not _SEED.fullmatch(seed):
        raise ConfigurationError(
            f"checkpoint {printable(requested)} has no valid seed",
            "use synthetic, or synthetic:SEED with a whole number",
        )
    number = int(seed or 0)
    path = scratch / f"{SYNTHETIC}.pth"
    try:
        # Like the authors' files, this one has a head, even if only the encoder is converted.
        geometry = family.geometry(replace(variant, head=CLASSIFICATION), {})
    except InputError:
        raise ConfigurationError(
            f"model {variant.name} takes its sizes from the checkpoint, so they are unknown for a synthetic one",
            "set checkpoint=PATH, or model.hidden_size, model.num_hidden_layers and model.num_labels",
        ) from None
    with progress("synthesize", f"Make synthetic weights with seed {number}"):
        try:
            synthetic.write(path, family, geometry, number)
        except (OSError, RuntimeError) as error:  # torch turns a full disk into a RuntimeError
            raise OutputError(
                f"the synthetic checkpoint cannot be written to {printable(path)}",
                "set output_dir=… on a disk with free space, and check the limit on file sizes (ulimit -f)",
            ) from error
    return Source(path, f"{SYNTHETIC}:{number}", official=False)


def _check_address(url: str) -> None:
    try:
        # Also a ValueError if a password contains / or #: its beginning is then taken for the port.
        _ = urlsplit(url).port
    except ValueError:
        raise ConfigurationError("checkpoint is not a valid URL", "correct it, or set checkpoint=PATH") from None
