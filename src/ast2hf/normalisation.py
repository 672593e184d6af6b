"""What the mean and the standard deviation of the training's features look like. No proof can notice wrong ones.

They are the figures of the log-mel features before they are normalised: (x - mean) / (2 std).
"""

from __future__ import annotations

from collections.abc import Iterator

STATS = {
    "audioset": (-4.2677393, 4.5689974),
    "esc50": (-6.6268077, 5.358466),
    "speech_commands": (-6.845978, 5.5654526),
}
"""Mean and standard deviation of the choices of ``stats=``; the files are in conf/stats."""

MEANS = (-12.0, 0.0)
STDS = (1.5, 7.0)
"""Between which those of log-mel features lie: the natural logarithm of the energies of Kaldi's filter bank, of a
waveform in [-1, 1], which has a floor of -15.9 (silence) and is about 5 where music is loud."""

NONE = (0.0, 0.5)
"""What the authors' code normalises with where it is not to: (x - 0) / (2 x 0.5)."""

ROUNDED = "rounded: to four digits that costs up to 4.6e-4 in the logits, to three 2e-3, to two 3e-2"
"""Measured: four digits with a trained model on 200 recordings, fewer with synthetic weights of base size on the
packaged clip."""


def remarks(mean: float, std: float) -> Iterator[str]:
    """What speaks against ``mean`` and ``std`` as those of a training, in a sentence; nothing where nothing does."""
    said = f"model.mean={mean:g} and model.std={std:g}"
    for name, (exact_mean, exact_std) in STATS.items():
        if (mean, std) == (exact_mean, exact_std):
            return
        if is_rounded(mean, exact_mean) and is_rounded(std, exact_std):
            yield f"{said} look like stats={name}, {ROUNDED}; say stats={name} if that is what they are"
            return
        if is_rounded(mean, exact_mean) and (is_rounded(std, 2 * exact_std) or is_rounded(std / 2, exact_std)):
            yield (
                f"model.std={std:g} is twice that of stats={name}: give the standard deviation itself, for the "
                f"features are divided by twice it; say stats={name} if that is what was meant"
            )
            return
    if (mean, std) != NONE and not (MEANS[0] <= mean <= MEANS[1] and STDS[0] <= std <= STDS[1]):
        yield (
            f"{said} are unlike those of log-mel features (mean about {MEANS[0]:g} to {MEANS[1]:g}, std {STDS[0]:g} to "
            f"{STDS[1]:g}): are they of waveforms, of powers, of 16-bit integers, or twice the standard deviation?"
        )


def differences(own: tuple[float, float], said: tuple[float, float]) -> Iterator[str]:
    """How mean and standard deviation of a folder's extractor differ from what was ``said``, in a sentence."""
    if own == said:
        return
    theirs, ours = (f"mean {mean:.9g} and std {std:.9g}" for mean, std in (own, said))
    look = ""
    if all(map(is_rounded, own, said)):
        look = f"; the folder's look {ROUNDED}"
    elif all(map(is_rounded, said, own)):
        look = f"; what was said looks {ROUNDED}"
    yield f"the folder normalises with {theirs}, and {ours} was said of the training{look}"


def is_rounded(value: float, exact: float) -> bool:
    """Whether ``value`` is ``exact``, or what is left of it after two to six digits, rounded or cut off."""
    text = f"{exact:.9f}"
    point = text.index(".")
    rounded = (float(f"{exact:.{digits - 1}e}") for digits in range(2, 7))
    cut = (float(text[: point + 1 + decimals]) for decimals in range(2, 6))
    return value == exact or value in rounded or value in cut
