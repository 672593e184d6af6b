"""Sounds of ten kinds, made from a seed, with which a small Audio Spectrogram Transformer is trained and proved.

    python examples/sounds/sounds.py FOLDER        wav files that the model was not trained on, and eval.json

Each clip lasts a second at 16 kHz. Pitch, level, beginning, length and the noise behind the sound are drawn anew for
each. The noise may be as loud as the sound, so that even a good model is wrong at times.
"""

from __future__ import annotations

import argparse
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Samples = NDArray[np.floating[Any]]

RATE = 16_000
"""Hz."""

TRAINING, HELD_OUT = 0, 1
"""Seeds."""

_SHORTEST = 0.4
"""Seconds of sound in a clip."""

_SIGNAL_TO_NOISE_DB = (0.0, 30.0)

_PITCH = (150.0, 3500.0)
"""Hz."""


def _pitch(draw: Generator, low: float = _PITCH[0], high: float = _PITCH[1]) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


def _phase(frequency: Samples | float, t: Samples) -> Samples:
    """Of an oscillation with this frequency at each time."""
    return 2 * np.pi * np.cumsum(np.broadcast_to(frequency, t.shape)) / RATE


def _tone(draw: Generator, t: Samples) -> Samples:
    return np.sin(_phase(_pitch(draw), t))


def _glide(draw: Generator, t: Samples, sign: int) -> Samples:
    octaves = sign * draw.uniform(0.25, 2.0)
    middle = _pitch(draw, 300.0, 1750.0)
    return np.sin(_phase(middle * 2 ** (octaves * (t / t[-1] - 0.5)), t))


def _rising_tone(draw: Generator, t: Samples) -> Samples:
    return _glide(draw, t, 1)


def _falling_tone(draw: Generator, t: Samples) -> Samples:
    return _glide(draw, t, -1)


def _siren(draw: Generator, t: Samples) -> Samples:
    octaves = draw.uniform(0.1, 0.5) * np.sin(_phase(draw.uniform(3.0, 8.0), t))
    return np.sin(_phase(_pitch(draw) * 2**octaves, t))


def _tremolo(draw: Generator, t: Samples) -> Samples:
    depth = draw.uniform(0.8, 1.0)
    return _tone(draw, t) * (1 - depth * (0.5 + 0.5 * np.sin(_phase(draw.uniform(4.0, 12.0), t))))


def _chord(draw: Generator, t: Samples) -> Samples:
    root = _pitch(draw, 400.0, 2000.0)
    third = draw.choice([3, 4])
    return np.asarray(sum(np.sin(_phase(root * 2 ** (step / 12), t)) for step in (0, third, 7)))


def _square_wave(draw: Generator, t: Samples) -> Samples:
    """The odd harmonics below half the rate, so that nothing is folded back."""
    pitch = _pitch(draw, _PITCH[0], 1200.0)
    return np.asarray(sum(np.sin(_phase(n * pitch, t)) / n for n in range(1, int(RATE / 2 / pitch) + 1, 2)))


def _noise_band(draw: Generator, t: Samples) -> Samples:
    middle, octaves = _pitch(draw, 400.0, 3500.0), draw.uniform(0.6, 1.5)
    return _shaped(draw, len(t), lambda f: (np.abs(np.log2(np.maximum(f, 1.0) / middle)) < octaves / 2).astype(float))


def _white_noise(draw: Generator, t: Samples) -> Samples:
    return draw.standard_normal(len(t))


def _clicks(draw: Generator, t: Samples) -> Samples:
    """Each dies away in a few milliseconds."""
    period = int(RATE / draw.uniform(5.0, 20.0))
    impulses = np.zeros(len(t))
    impulses[int(draw.integers(period // 4)) :: period] = 1.0
    decay = np.exp(-np.arange(RATE // 50) / (RATE * draw.uniform(0.0005, 0.003)))
    return np.convolve(impulses, decay * draw.standard_normal(len(decay)))[: len(t)]


SOUNDS: dict[str, Callable[[Generator, Samples], Samples]] = {
    "Tone": _tone,
    "Rising tone": _rising_tone,
    "Falling tone": _falling_tone,
    "Siren": _siren,
    "Tremolo": _tremolo,
    "Chord": _chord,
    "Square wave": _square_wave,
    "Noise band": _noise_band,
    "White noise": _white_noise,
    "Clicks": _clicks,
}
"""The classes, in the order of the model's outputs."""

MIDS = tuple(f"/m/sounds{number}" for number in range(len(SOUNDS)))
"""What stands for the classes in a manifest, as AudioSet's identifiers do."""


def clip(seed: int, number: int) -> tuple[NDArray[np.float32], int]:
    """Samples of shape (RATE,) in [-1, 1] as 16 bits hold them, and the class. Each class is as frequent as the others.

    What ``number`` sounds like does not depend on how many clips are made.
    """
    label = number % len(SOUNDS)
    draw = np.random.default_rng([seed, number])
    length = int(RATE * draw.uniform(_SHORTEST, 1.0))
    begin = int(draw.integers(RATE - length + 1))
    sound = list(SOUNDS.values())[label](draw, np.arange(length) / RATE)
    edge = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / (RATE * 0.01))
    samples = _background(draw) * 10 ** (-draw.uniform(*_SIGNAL_TO_NOISE_DB) / 20)
    samples[begin : begin + length] += edge * sound / np.sqrt(np.mean(sound**2))
    samples *= 10 ** (draw.uniform(-30.0, -3.0) / 20) / np.abs(samples).max()
    return (np.round(samples * 32767) / 32768).astype(np.float32), label


def _background(draw: Generator) -> Samples:
    """Noise whose power falls with the frequency, as that of wind and of rooms does."""
    exponent = draw.uniform(0.5, 2.0)
    return _shaped(draw, RATE, lambda f: np.maximum(f, 40.0) ** (-exponent / 2))


def _shaped(draw: Generator, length: int, gain: Callable[[Samples], Samples]) -> Samples:
    """Noise of the level one whose amplitude at each frequency in Hz is ``gain`` of it."""
    spectrum = np.fft.rfft(draw.standard_normal(length)) * gain(np.fft.rfftfreq(length, 1 / RATE))
    samples = np.fft.irfft(spectrum, length)
    return np.asarray(samples / np.sqrt(np.mean(samples**2)))


def write(folder: Path, count: int, seed: int = HELD_OUT) -> None:
    """``count`` wav files, and ``eval.json``, which lists them in the form of the authors' data files."""
    folder.mkdir(parents=True, exist_ok=True)
    data = []
    for number in range(count):
        samples, label = clip(seed, number)
        path = folder / f"{number:04}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, len(samples), "NONE", ""))
            file.writeframes((samples * 32768).astype("<i2").tobytes())
        data.append({"wav": path.name, "labels": MIDS[label]})
    (folder / "eval.json").write_text(json.dumps({"data": data}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make sounds that the model was not trained on.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.count)
