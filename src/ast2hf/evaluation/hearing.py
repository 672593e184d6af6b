"""From a clip to the features of both front ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import audio, local_files
from ast2hf.errors import InputError, printable
from ast2hf.evaluation.source import Example
from ast2hf.families.base import FrontEnd
from ast2hf.formats.base import Format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class FrontEnds:
    """The authors' front end, and the folder with its own extractor."""

    original: FrontEnd
    format: Format
    folder: Path


@dataclass(frozen=True)
class Heard:
    """``original``: the features of the authors' front end; ``converted``: of the folder's; both (frames, bins).

    ``changes``: what was done to the clip before, such as ``resampled to 16000 Hz``.
    """

    sha256: str
    original: NDArray[np.float32]
    converted: NDArray[np.float32]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unheard:
    """A clip that cannot be read or decoded. ``sha256``: empty if it cannot be read."""

    sha256: str
    reason: str


class Hearing:
    """Both front ends, ready for clips."""

    def __init__(self, front_ends: FrontEnds) -> None:
        self._original = front_ends.original
        self._extract: Callable[[Tensor], Tensor] = front_ends.format.extractor(
            front_ends.folder, front_ends.original.sampling_rate
        )

    def __call__(self, example: Example) -> Heard | Unheard:
        try:
            content = (
                example.audio
                if isinstance(example.audio, bytes)
                else local_files.read_file(example.audio, audio.MAX_FILE)
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            return Unheard("", f"clip {printable(example.name, 100)} cannot be read ({printable(why, 100)})")
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            clip = audio.decode(content, example.name, self._original.sampling_rate)
        except InputError as error:
            return Unheard(sha256, error.cause)
        original, converted = (of(clip.waveform)[0].numpy() for of in (self._original, self._extract))
        return Heard(sha256, original, converted, clip.changes)
