"""The clip of the proof, from a file, the package or the Hub, as one channel at the model's rate."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import hub_download, local_files, signals
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
"""At any rate. Four bytes a second of a FLAC of silence at 1000 Hz would be 64,000 when it is resampled to 16 kHz."""

MAX_MAGNITUDE = 2.0**31
"""Of a sample. Integers that were not scaled to [-1, 1] have up to this; the power of larger ones overflows."""

MIN_RATE = 1000
"""Hz."""

MAX_FILE = 1 << 30
"""Bytes."""

_MAX_CHUNKS = 1000
"""Of a WAV, before its samples. Eight bytes are enough for one."""


@dataclass(frozen=True)
class Clip:
    """``waveform``: float32 of shape (samples,) in [-1, 1].

    ``uri``: of a local file its name alone. ``official``: the clip that the published logits belong to.
    """

    waveform: Tensor
    uri: str
    official: bool
    notes: tuple[str, ...]


_INSTEAD = "audio=PATH or audio=packaged"


def load_clip(audio: str | None, variant: Variant, cache: Path) -> Clip:
    """``audio``: a path, ``packaged``, or None for the model's own clip (without one, the packaged).

    ``cache``: where a clip that was streamed from a data set is kept.
    """
    if audio == PACKAGED:
        return _decode(PACKAGED_CLIP.read_bytes(), PACKAGED, variant.sampling_rate)
    if audio is not None:
        content = local_files.read(audio, "clip", "give audio=PATH of a wav or flac file, or audio=packaged", MAX_FILE)
        return _decode(content, Path(audio).name, variant.sampling_rate)
    if variant.clip_file is not None:
        path = hub_download.fetch(variant.clip_file, "clip", _INSTEAD)
        content = local_files.read(path, "clip", f"set {_INSTEAD}", MAX_FILE)
        uri = f"hf://datasets/{variant.clip_file.repo}/{variant.clip_file.filename}"
        return _decode(content, uri, variant.sampling_rate, official=True)
    if variant.clip_row is not None:
        row = variant.clip_row
        content = hub_download.stream_first_clip(row, cache, _INSTEAD)
        uri = f"hf://datasets/{row.repo}/{row.config}/{row.split}[0]"
        return _decode(content, uri, variant.sampling_rate, official=True)
    return _decode(PACKAGED_CLIP.read_bytes(), PACKAGED, variant.sampling_rate)


@lru_cache(maxsize=1)  # the jobs of a sweep share it
def _decode(content: bytes, uri: str, rate: int, official: bool = False) -> Clip:
    import torch

    name = f"clip {printable(uri)}"
    samples, own_rate = _samples(content, name)
    if len(samples) * rate < MIN_SAMPLES * own_rate:
        raise InputError(f"{name} has {len(samples)} samples at {own_rate} Hz", "give at least 25 ms")
    _check_values(samples, name)
    notes = []
    waveform = torch.from_numpy(samples)
    if waveform.shape[1] > 1:
        notes.append(f"{waveform.shape[1]} channels of the clip are averaged into one")
    waveform = waveform.mean(dim=1)
    if own_rate != rate:
        if not _can_resample(own_rate, rate):
            raise InputError(f"{name} has the unusual rate of {own_rate} Hz", f"resample it to {rate} Hz")
        from ast2hf import torchaudio_guard

        torchaudio_guard.install()
        from torchaudio.functional import resample

        notes.append(f"the clip is resampled from {own_rate} Hz to {rate} Hz")
        waveform = resample(waveform, own_rate, rate)
    return Clip(waveform, uri, official, tuple(notes))


def _check_values(samples: NDArray[np.float32], name: str) -> None:
    """Raise InputError for values that are no sound. Before channels are averaged, since sums can overflow."""
    low, high = float(samples.min()), float(samples.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{name} has samples that are not finite", "give a recording without NaN and infinity")
    if max(-low, high) > MAX_MAGNITUDE:
        raise InputError(
            f"{name} has samples of up to {max(-low, high):.1e}", "scale it: the samples of a recording are in [-1, 1]"
        )


def _samples(content: bytes, name: str) -> tuple[NDArray[np.float32], int]:
    """Samples of shape (samples, channels) and their rate in Hz. Only of formats that show when they are cut short."""
    import soundfile

    if not content:
        raise InputError(f"{name} is empty", "give a recording of at least 25 ms")
    if not content.startswith((b"RIFF", b"fLaC")):
        raise InputError(f"{name} is neither WAV nor FLAC", "convert it, for example with: ffmpeg -i CLIP clip.wav")
    if content.startswith(b"RIFF") and _is_cut(content, name):
        raise InputError(f"{name} is cut short", "give the whole recording")
    try:
        # It reads by callbacks, in which the exception of a signal would be lost, and taken for a damaged clip.
        with signals.held(), soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.frames * file.channels > MAX_SAMPLES:
                raise InputError(f"{name} has {file.frames:,} samples", f"give at most {MAX_SAMPLES:,}")
            if file.samplerate >= MIN_RATE and file.frames > MAX_SECONDS * file.samplerate:
                raise InputError(
                    f"{name} lasts {file.frames / file.samplerate:,.0f} s", f"give at most {MAX_SECONDS:,} s of it"
                )
            return file.read(dtype="float32", always_2d=True), file.samplerate
    except soundfile.SoundFileError as error:
        why = str(error).rpartition(": ")[2]  # before it stands the address of the BytesIO
        raise InputError(f"{name} cannot be decoded ({printable(why, 80)})", "give a sound wav or flac file") from None


def _is_cut(wav: bytes, name: str) -> bool:
    """Whether the samples end before their stated size, which libsndfile tolerates. Source: the RIFF specification."""
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(wav):
            return False
        size = int.from_bytes(wav[position + 4 : position + 8], "little")
        if wav[position : position + 4] == b"data":
            return position + 8 + size > len(wav) and size != 0xFFFFFFFF  # a recorder that cannot seek writes this
        position += 8 + size + size % 2
    raise InputError(f"{name} has more than {_MAX_CHUNKS:,} chunks before its samples", "convert it to a plain WAV")


def _can_resample(own_rate: int, rate: int) -> bool:
    """The filter of torchaudio has about ``own_rate * rate / gcd**2`` taps: 70,560 from 44,100 Hz, 7e8 from 44,101."""
    divisor = math.gcd(own_rate, rate)
    return own_rate >= MIN_RATE and own_rate * rate // divisor**2 <= 1 << 20
