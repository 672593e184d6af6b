"""Rounded, doubled and implausible means and standard deviations are remarked on; people's own are not."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ast2hf.normalisation import NONE, STATS, differences, is_rounded, remarks


def said(mean, std):
    return " ".join(remarks(mean, std))


@pytest.mark.parametrize("name", STATS)
@pytest.mark.parametrize("digits", [2, 3, 4, 5, 6])
def test_a_rounded_preset_is_remarked_on(name, digits):
    mean, std = (float(f"{figure:.{digits - 1}e}") for figure in STATS[name])
    assert f"look like stats={name}, rounded" in said(mean, std)
    assert f"use stats={name}" in said(mean, std)


@pytest.mark.parametrize(
    ("mean", "std", "name"),
    [
        (-4.2677393, 4.569, "audioset"),  # one of them
        (-4.268, 4.5689974, "audioset"),
        (-4.267, 4.568, "audioset"),  # cut off
        (-4.26, 4.56, "audioset"),
        (-6.63, 5.36, "esc50"),
        (-6.85, 5.57, "speech_commands"),
        (-6.84, 5.56, "speech_commands"),
    ],
)
def test_so_is_one_that_is_cut_off_or_half_rounded(mean, std, name):
    assert f"look like stats={name}, rounded" in said(mean, std)


@pytest.mark.parametrize(("mean", "std"), STATS.values())
@pytest.mark.parametrize("digits", [3, 4, 9])
def test_a_doubled_standard_deviation_is_remarked_on(mean, std, digits):
    assert "is twice that of stats=" in said(float(f"{mean:.{digits - 1}e}"), 2 * float(f"{std:.{digits - 1}e}"))
    assert "is twice that of stats=" in said(mean, float(f"{2 * std:.{digits - 1}e}"))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        *STATS.values(),  # as they are
        (-4.267739, 4.568997),  # to seven digits: the rounding of float32
        (-5.1, 4.2), (-9.8, 3.1), (-3.05, 5.9), (-1.2, 4.4),  # people's own
        (-4.268, 4.2), (-5.1, 4.569),  # one figure alone proves nothing
        (-4.2677393, 5.4), (-4.28, 4.57), (-4.266, 4.569), (-4.0, 4.6), (-7.0, 5.5),
        NONE,
    ],
)  # fmt: skip
def test_own_figures_are_not(mean, std):
    assert said(mean, std) == ""


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (0.0, 0.06),  # of a waveform
        (0.00012, 0.05),
        (0.0, 1.0),  # of features that are normalised already
        (4.268, 4.569),  # without its sign
        (-30.0, 17.0),  # decibels
        (15.3, 4.1),  # of 16-bit integers
        (1e6, 1e7),  # powers
        (-5.1, 8.4),  # perhaps twice what it is
        (-5.1, 0.3),
    ],
)
def test_figures_of_something_else_are_remarked_on(mean, std):
    assert "unlike those of log-mel features" in said(mean, std)


@given(st.floats(-12, 0), st.floats(1.5, 7))
def test_figures_as_a_training_computes_them_are_not(mean, std):
    """All digits that there are: rounded ones would be written shorter."""
    assume(not any(is_rounded(mean, exact) for exact, _ in STATS.values()))
    assert said(mean, std) == ""


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (STATS["audioset"], ""),
        (
            (-4.268, 4.569),
            "with mean -4.268 and std 4.569, but the settings have mean -4.2677393 and std 4.5689974",
        ),
        ((-4.2677393, 4.57), "; the folder's look rounded"),
        ((-6.6268077, 5.358466), "but the settings have mean -4.2677393 and std 4.5689974"),
    ],
)
def test_how_a_folder_normalises_otherwise(own, words):
    told = " ".join(differences(own, STATS["audioset"]))
    assert words in told
    assert ("rounded" in told) == (abs(own[0] - STATS["audioset"][0]) < 0.01 and own != STATS["audioset"])
    assert (told == "") == (words == "")


def test_what_was_said_may_be_the_rounded_one():
    assert "those of the settings look rounded" in " ".join(differences(STATS["esc50"], (-6.627, 5.358)))
