"""Data sets for tests: generated sounds beside a manifest in the authors' form."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def sound(number: int, seconds: float = 0.2) -> bytes:
    """A tone in noise as a WAV, another one for each ``number``."""
    random = np.random.default_rng(number)
    time = np.arange(int(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * random.uniform(200, 4000) * time) * random.uniform(0.1, 0.5)
    content = io.BytesIO()
    soundfile.write(content, tone + random.normal(0, 0.05, len(time)), RATE, format="WAV", subtype="PCM_16")
    return content.getvalue()


def write(folder: Path, clips: int, labels: Sequence[str]) -> Path:
    """The manifest ``eval.json`` of so many clips in the new ``folder``; clip n has label n, in turn."""
    folder.mkdir()
    rows = []
    for number in range(clips):
        name = f"clip{number:03}.wav"
        (folder / name).write_bytes(sound(number))
        rows.append({"wav": name, "labels": labels[number % len(labels)]})
    path = folder / "eval.json"
    path.write_text(json.dumps({"data": rows}))
    return path
