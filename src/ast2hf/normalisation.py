"""Plausibility of the mean and the standard deviation of the training features. No proof can detect wrong ones.

They describe the log-mel features before normalisation: (x - mean) / (2 std).
"""

from __future__ import annotations

from collections.abc import Iterator

STATS = {
    "audioset": (-4.2677393, 4.5689974),
    "esc50": (-6.6268077, 5.358466),
    "speech_commands": (-6.845978, 5.5654526),
}
"""Mean and standard deviation by the choices of ``stats=``, as in the files of conf/stats."""

MEANS = (-12.0, 0.0)
STDS = (1.5, 7.0)
"""The range for log-mel features: the natural logarithm of the energies of Kaldi's filter bank, of a
waveform in [-1, 1], with a floor of -15.9 (silence) and about 5 for loud music."""

NONE = (0.0, 0.5)
"""What the authors' code uses for no normalisation: (x - 0) / (2 x 0.5)."""

ROUNDED = "rounded (four digits cost up to 4.6e-4 in the logits, three 2e-3, two 3e-2)"
"""Measured: four digits with a trained model on 200 recordings, fewer with synthetic weights of base size on the
packaged clip."""


def remarks(mean: float, std: float) -> Iterator[str]:
    """Why ``mean`` and ``std`` look wrong for a training, in a sentence; nothing if they look right."""
    said = f"model.mean={mean:g} and model.std={std:g}"
    for name, (exact_mean, exact_std) in STATS.items():
        if (mean, std) == (exact_mean, exact_std):
            return
        if is_rounded(mean, exact_mean) and is_rounded(std, exact_std):
            yield f"{said} look like stats={name}, {ROUNDED}; use stats={name} if that is what you mean"
            return
        if is_rounded(mean, exact_mean) and (is_rounded(std, 2 * exact_std) or is_rounded(std / 2, exact_std)):
            yield (
                f"model.std={std:g} is twice that of stats={name}: set the standard deviation itself, since the "
                f"features are divided by twice its value; use stats={name} if that is what you mean"
            )
            return
    if (mean, std) != NONE and not (MEANS[0] <= mean <= MEANS[1] and STDS[0] <= std <= STDS[1]):
        yield (
            f"{said} are unlike those of log-mel features (mean about {MEANS[0]:g} to {MEANS[1]:g}, std {STDS[0]:g} to "
            f"{STDS[1]:g}): are they of waveforms, of powers, of 16-bit integers, or twice the standard deviation?"
        )


def differences(own: tuple[float, float], said: tuple[float, float]) -> Iterator[str]:
    """How mean and standard deviation of a folder's extractor differ from the training's, in a sentence."""
    if own == said:
        return
    theirs, ours = (f"mean {mean:.9g} and std {std:.9g}" for mean, std in (own, said))
    look = ""
    if all(map(is_rounded, own, said)):
        look = f"; the folder's look {ROUNDED}"
    elif all(map(is_rounded, said, own)):
        look = f"; those of the settings look {ROUNDED}"
    yield f"the folder normalises with {theirs}, but the settings have {ours}{look}"


def is_rounded(value: float, exact: float) -> bool:
    """Whether ``value`` is ``exact``, or that rounded or cut off to two to six digits."""
    text = f"{exact:.9f}"
    point = text.index(".")
    rounded = (float(f"{exact:.{digits - 1}e}") for digits in range(2, 7))
    cut = (float(text[: point + 1 + decimals]) for decimals in range(2, 6))
    return value == exact or value in rounded or value in cut
