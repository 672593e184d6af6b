"""Sound files of generated sounds, and data sets of them on disk."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

SUBTYPES = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}


def sound(kind: str = "WAV", rate: int = 16000, seconds: float = 0.1, channels: int = 1, seed: int = 0) -> bytes:
    """A tone with some noise, as a sound file of a format as libsndfile calls it."""
    count = round(rate * seconds)
    noise = np.random.default_rng(seed).uniform(-0.05, 0.05, (count, channels))
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(count) / rate)[:, None] + noise
    file = io.BytesIO()
    soundfile.write(file, samples.astype(np.float32), rate, format=kind, subtype=SUBTYPES[kind])
    return file.getvalue()


def put(folder: Path, *names: str) -> None:
    """A short clip under each of ``names``, with the folders that it needs."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound("WAV" if path.suffix == ".wav" else "FLAC", seed=seed))
