"""The clip of the proof, from a file, the package or the Hub, as one channel at the model's rate."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import hub_files
from ast2hf.config import HubRow, Model
from ast2hf.errors import InputError, printable

if TYPE_CHECKING:
    from torch import Tensor

PACKAGED = "packaged"
PACKAGED_CLIP = Path(__file__).parent / "data" / "sample_audio.flac"

MIN_SAMPLES = 400
"""One frame of the filter bank: 25 ms at 16 kHz."""


@dataclass(frozen=True)
class Clip:
    """``waveform``: float32 of shape (samples,) in [-1, 1]. ``published``: the clip of the expected logits."""

    waveform: Tensor
    uri: str
    published: bool
    notes: tuple[str, ...]


def load_clip(audio: str | None, model: Model) -> Clip:
    """``audio``: a path, ``packaged``, or None for the model's own clip (without one, the packaged)."""
    if audio == PACKAGED:
        return _decode(PACKAGED_CLIP.read_bytes(), PACKAGED, model.sampling_rate)
    if audio is not None:
        path = Path(audio).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"clip {printable(path)} cannot be read ({error.strerror})",
                "give audio=PATH of a wav or flac file, or audio=packaged",
            ) from None
        return _decode(content, str(path), model.sampling_rate)
    if model.clip_file is not None:
        content = hub_files.fetch(model.clip_file, "clip", "audio=PATH or audio=packaged").read_bytes()
        uri = f"hf://datasets/{model.clip_file.repo}/{model.clip_file.filename}"
        return _decode(content, uri, model.sampling_rate, published=True)
    if model.clip_row is not None:
        row = model.clip_row
        content = _first_row(row)
        return _decode(
            content, f"hf://datasets/{row.repo}/{row.config}/{row.split}[0]", model.sampling_rate, published=True
        )
    return _decode(PACKAGED_CLIP.read_bytes(), PACKAGED, model.sampling_rate)


def _first_row(row: HubRow) -> bytes:
    """The encoded audio of the first row of a split, streamed: one clip costs no whole data set."""
    from datasets import Audio, load_dataset

    try:
        rows = load_dataset(row.repo, row.config, split=row.split, revision=row.revision, streaming=True)
        # decode=False: the bytes as they are. Decoding in datasets needs torchcodec and FFmpeg.
        content = next(iter(rows.cast_column("audio", Audio(decode=False))))["audio"]["bytes"]
    except Exception as error:  # datasets lets the errors of a dozen libraries through
        raise hub_files.unreachable(
            f"the first clip of {row.repo} {row.config}", error, "audio=PATH or audio=packaged"
        ) from error
    assert isinstance(content, bytes)
    return content


def _decode(content: bytes, uri: str, rate: int, published: bool = False) -> Clip:
    import soundfile
    import torch

    name = f"clip {printable(uri)}"
    if not content:
        raise InputError(f"{name} is empty", "give a recording of at least 25 ms")
    try:
        samples, own_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} cannot be decoded ({printable(error, 80)})", "give a wav or flac file") from None
    notes = []
    waveform = torch.from_numpy(samples)
    if waveform.shape[1] > 1:
        notes.append(f"{waveform.shape[1]} channels of the clip are averaged into one")
    waveform = waveform.mean(dim=1)
    if own_rate != rate:
        from torchaudio.functional import resample

        notes.append(f"the clip is resampled from {own_rate} Hz to {rate} Hz")
        waveform = resample(waveform, own_rate, rate)
    if len(waveform) < MIN_SAMPLES:
        raise InputError(f"{name} has {len(waveform)} samples at {rate} Hz", f"give at least {MIN_SAMPLES} (25 ms)")
    if not torch.isfinite(waveform).all():
        raise InputError(f"{name} has samples that are not finite", "give a recording without NaN and infinity")
    return Clip(waveform, uri, published, tuple(notes))
