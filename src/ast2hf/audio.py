"""Sound files as one channel at the model's rate: the clip of the proof, and the clips of data sets."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import cut_clips, hub_download, local_files, signals
from ast2hf.config import Variant
from ast2hf.errors import InputError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

PACKAGED = "packaged"
PACKAGED_CLIP = Path(__file__).parent / "data" / "sample_audio.flac"

MIN_SAMPLES = 400
"""One frame of the filter bank: 25 ms at 16 kHz."""

MAX_SAMPLES = 100_000_000
"""Over all channels; an hour and a half at 16 kHz, 0.4 GB. A damaged header can claim any number."""

MAX_SECONDS = 1200
"""At any rate: a FLAC of silence at 1000 Hz takes four bytes a second, but 64,000 once it is resampled to 16 kHz."""

MAX_MAGNITUDE = 2.0**31
"""Of a sample. Integers that were not scaled to [-1, 1] reach it; the power of larger values overflows."""

MIN_RATE = 1000
"""Hz."""

MAX_FILE = 1 << 30
"""Bytes."""

FORMATS = ("WAV", "FLAC")
"""For the single clip: formats in which any truncation shows."""

DATA_SET_FORMATS = (*FORMATS, "OGG", "MP3")
"""For the clips of a data set. In an MP3 only the loss of a frame or more shows, and only if it states its length."""

_BEGINNINGS = {
    "WAV": (b"RIFF",),
    "FLAC": (b"fLaC",),
    "OGG": (b"OggS",),
    "MP3": (b"ID3", *(bytes([0xFF, second]) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2))),
}
"""First bytes of a file; for MP3 a tag, or the first frame of layer 3."""


@dataclass(frozen=True)
class Clip:
    """``waveform``: float32 of shape (samples,) in [-1, 1].

    ``uri``: of a local file, only its name. ``official``: the clip that the published logits belong to. ``sha256``: of
    the file; None for a clip of a data set. ``changes``: what was done to it, for counting clips.
    """

    waveform: Tensor
    uri: str
    official: bool
    notes: tuple[str, ...]
    sha256: str | None = None
    changes: tuple[str, ...] = ()


_INSTEAD = "audio=PATH or audio=packaged"


def load_clip(audio: str | None, variant: Variant, cache: Path) -> Clip:
    """``audio``: a path, ``packaged``, or None for the model's own clip (the packaged one if it has none).

    ``cache``: where a clip streamed from a data set is kept.
    """
    if audio == PACKAGED:
        return _decoded(PACKAGED_CLIP.read_bytes(), PACKAGED, variant.sampling_rate)
    if audio is not None:
        content = local_files.read(audio, "clip", "set audio=PATH to a wav or flac file, or audio=packaged", MAX_FILE)
        return _decoded(content, Path(audio).name, variant.sampling_rate)
    if variant.clip_file is not None:
        path = hub_download.fetch(variant.clip_file, "clip", _INSTEAD)
        content = local_files.read(path, "clip", f"set {_INSTEAD}", MAX_FILE)
        uri = f"hf://datasets/{variant.clip_file.repo}/{variant.clip_file.filename}"
        return _decoded(content, uri, variant.sampling_rate, official=True)
    if variant.clip_row is not None:
        row = variant.clip_row
        content = hub_download.stream_first_clip(row, cache, _INSTEAD)
        uri = f"hf://datasets/{row.repo}/{row.config}/{row.split}[0]"
        return _decoded(content, uri, variant.sampling_rate, official=True)
    return _decoded(PACKAGED_CLIP.read_bytes(), PACKAGED, variant.sampling_rate)


@lru_cache(maxsize=1)  # the jobs of a sweep share it
def _decoded(content: bytes, uri: str, rate: int, official: bool = False) -> Clip:
    clip = decode(content, uri, rate, FORMATS)
    return replace(clip, official=official, sha256=hashlib.sha256(content).hexdigest())


def decode(content: bytes, name: str, rate: int, formats: Sequence[str] = DATA_SET_FORMATS) -> Clip:
    """The sound file ``content`` at ``rate`` Hz, its channels averaged. ``name``: becomes the ``uri`` of the clip.

    Raises InputError for a file of another format, broken, truncated, too short or too long.
    """
    import torch

    uri, name = name, f"clip {printable(name)}"
    samples, own_rate = _samples(content, name, formats)
    if len(samples) * rate < MIN_SAMPLES * own_rate:
        raise InputError(
            f"{name} is too short ({len(samples)} samples at {own_rate} Hz)", "use a clip of at least 25 ms"
        )
    _check_values(samples, name)
    notes, changes = [], []
    waveform = torch.from_numpy(samples)
    if waveform.shape[1] > 1:
        notes.append(f"{waveform.shape[1]} channels of the clip are averaged into one")
        changes.append("averaged to one channel")
    waveform = waveform.mean(dim=1)
    if own_rate != rate:
        if not _can_resample(own_rate, rate):
            raise InputError(f"{name} has an unsupported sampling rate of {own_rate} Hz", f"resample it to {rate} Hz")
        from ast2hf import torchaudio_guard

        torchaudio_guard.install()
        from torchaudio.functional import resample

        notes.append(f"the clip is resampled from {own_rate} Hz to {rate} Hz")
        changes.append(f"resampled to {rate} Hz")
        waveform = resample(waveform, own_rate, rate)
    return Clip(waveform, uri, False, tuple(notes), changes=tuple(changes))


def _check_values(samples: NDArray[np.float32], name: str) -> None:
    """Raise InputError for values that cannot be sound. Before channels are averaged, since sums can overflow."""
    low, high = float(samples.min()), float(samples.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{name} contains NaN or infinite samples", "use a clip without them")
    if max(-low, high) > MAX_MAGNITUDE:
        raise InputError(f"{name} has samples of up to {max(-low, high):.1e}", "scale the samples to [-1, 1]")


def _samples(content: bytes, name: str, formats: Sequence[str]) -> tuple[NDArray[np.float32], int]:
    """Samples of shape (samples, channels) and their rate in Hz."""
    import soundfile

    if not content:
        raise InputError(f"{name} is empty", "use a clip of at least 25 ms")
    kind = next((k for k in formats if content.startswith(_BEGINNINGS[k])), None)
    if kind is None:
        known = f"neither {' nor '.join(formats)}" if len(formats) == 2 else f"none of {', '.join(formats)}"
        raise InputError(f"{name} is {known}", "convert it, for example with: ffmpeg -i CLIP clip.wav")
    if _is_cut(content, kind, name):
        raise InputError(f"{name} is truncated", "use the complete recording")
    try:
        # It reads through callbacks, which would swallow the exception of a signal and report a damaged clip instead.
        with signals.held(), soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.frames * file.channels > MAX_SAMPLES:
                raise InputError(f"{name} has {file.frames:,} samples", f"use a clip of at most {MAX_SAMPLES:,}")
            if file.samplerate >= MIN_RATE and file.frames > MAX_SECONDS * file.samplerate:
                raise InputError(
                    f"{name} lasts {file.frames / file.samplerate:,.0f} s", f"use at most {MAX_SECONDS:,} s of it"
                )
            if file.format == "MP3" and cut_clips.mp3_is_other_than(content, file.frames):
                raise InputError(
                    f"{name} is truncated, or its header states another length", "use the complete recording"
                )
            return file.read(dtype="float32", always_2d=True), file.samplerate
    except soundfile.SoundFileError as error:
        why = str(error).rpartition(": ")[2]  # it is preceded by the repr of the BytesIO
        raise InputError(f"{name} cannot be decoded ({printable(why, 80)})", "use an intact recording") from None


def _is_cut(content: bytes, kind: str, name: str) -> bool:
    try:
        return kind in cut_clips.IS_CUT and cut_clips.IS_CUT[kind](content)
    except cut_clips.TooManyChunksError:
        raise InputError(
            f"{name} has more than {cut_clips.MAX_CHUNKS:,} chunks before its samples", "convert it to a plain WAV"
        ) from None


def _can_resample(own_rate: int, rate: int) -> bool:
    """The filter of torchaudio has about ``own_rate * rate / gcd**2`` taps: 70,560 from 44,100 Hz, 7e8 from 44,101."""
    divisor = math.gcd(own_rate, rate)
    return own_rate >= MIN_RATE and own_rate * rate // divisor**2 <= 1 << 20
