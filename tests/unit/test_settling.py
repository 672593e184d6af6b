"""Strides, length, normalisation and loss: read where one reading is left, taken where said, asked for else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.fake_checkpoints import ast_shapes, family_shapes
from support.models import VARIANTS, model_of

from ast2hf.config import Variant
from ast2hf.errors import InputError
from ast2hf.families import FAMILIES
from ast2hf.families.readings import Reading, of_grid
from ast2hf.normalisation import STATS
from ast2hf.settling import settle
from ast2hf.strides import canonical

AST = FAMILIES["ast"]
KNOWN = {"mean": -5.1, "std": 4.2, "problem_type": "multi_label_classification"}
OPEN = Variant(name="custom", **KNOWN)


def settled(patches, *, family=AST, shapes=None, values=lambda name: None, **said):
    return settle(replace(OPEN, **said), family, shapes or ast_shapes(patches=patches), values)


def geometry(found):
    v = found.variant
    return (v.frequency_stride, v.time_stride, v.max_length)


@pytest.mark.parametrize(
    ("patches", "said", "expected"),
    [
        (1212, {}, (10, 10, 1024)),  # the only equal strides, and AudioSet's length
        (948, {}, (10, 10, 798)),  # Patch-Mix
        (1212, {"max_length": 1024}, (10, 10, 1024)),
        (1212, {"max_length": 1017}, (10, 10, 1017)),
        (1212, {"max_length": 1220}, (10, 12, 1220)),  # the length fixes the stride
        (600, {"max_length": 512}, (10, 10, 512)),
        (600, {"max_length": 1200}, (16, 16, 1200)),
        (850, {"max_length": 1024}, (12, 12, 1024)),
        (657, {"max_length": 1024}, (14, 14, 1024)),
        (512, {"max_length": 1024}, (16, 16, 1024)),
        (144, {"max_length": 128}, (10, 10, 128)),
        (80, {"frequency_stride": 12, "time_stride": 16}, (12, 16, 128)),
        (80, {"frequency_stride": 12, "time_stride": 16, "max_length": 140}, (12, 16, 140)),
        (512, {"frequency_stride": 16, "time_stride": 16}, (16, 16, 1024)),
        (32, {"frequency_stride": 16, "time_stride": 16}, (16, 16, 70)),
        (5 * 101, {"num_mel_bins": 64, "max_length": 1024}, (10, 10, 1024)),
        (28, {"frequency_stride": 20, "time_stride": 20}, None),
        (36, {"frequency_stride": 20, "time_stride": 20}, (20, 20, 128)),  # larger than a patch, and said
    ],
)
def test_one_reading_that_is_left_is_taken(patches, said, expected):
    if expected is None:
        with pytest.raises(InputError):
            settled(patches, **said)
        return
    found = settled(patches, **said)
    assert found.strides is None
    assert geometry(found) == expected


@pytest.mark.parametrize(
    ("patches", "said", "first"),
    [
        (850, {}, "model.frequency_stride=12 model.time_stride=12 model.max_length=1024"),
        (512, {}, "model.frequency_stride=16 model.time_stride=16 model.max_length=1024"),
        (600, {}, "model.frequency_stride=10 model.time_stride=10 model.max_length=512"),
        (144, {}, "model.frequency_stride=10 model.time_stride=10 model.max_length=128"),
        (80, {"max_length": 128}, "model.frequency_stride=12 model.time_stride=15"),
        (80, {"frequency_stride": 12}, "model.time_stride=12 model.max_length=100"),
        (12 * 29, {}, "model.frequency_stride=4 model.time_stride=4 model.max_length=60"),
    ],
)
def test_several_are_asked_about_the_likeliest_first(patches, said, first):
    found = settled(patches, **said)
    assert found.strides.choices[0].override == first
    assert set(found.strides.placeholder.split()) == {word.partition("=")[0] + "=CHOOSE" for word in first.split()}


def test_equal_strides_are_not_enough_without_a_recipe_of_that_length():
    found = settled(12 * 67)  # the only equal strides are 10 x 10, 676 to 685 frames
    assert [r for r in found.readings if r.frequency_stride == r.time_stride] == [Reading(10, 10, 12, 67, 676, 685)]
    assert found.strides is not None


def test_values_read_from_the_file_are_noted():
    notes = " ".join(settled(1212).notes)
    assert "strides 10 x 10, 1016 to 1025 frames: 12 x 101 patches; other strides also give it" in notes
    assert "max_length 1024: any length from 1016 to 1025 gives the same function" in notes
    assert "128 mel bins" in notes
    said = {"frequency_stride": 10, "time_stride": 10, "max_length": 1024, "num_mel_bins": 128}
    assert settled(1212, **said).notes == ()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_published_variant_leaves_nothing_open_and_nothing_to_say(variant):
    model = model_of(variant)
    found = settle(model, AST, ast_shapes(patches=AST.geometry(model, {}).num_positions - 2))
    assert (found.variant, found.questions, found.notes) == (model, (), ())


@pytest.mark.parametrize(
    ("patches", "words"),
    [
        (1212, r"are model.frequency_stride=16, .* 1214 position embeddings, .* strides 10 x 10, 1016 to 1025 frames"),
        (1213, "which no strides give for such an input"),
    ],
)
def test_a_published_variant_for_the_file_of_another_is_refused_with_both(patches, words):
    with pytest.raises(InputError, match=words) as caught:
        settle(model_of("ast_16_16"), AST, ast_shapes(patches=patches))
    assert "ast-finetuned-audioset-16-16-0.442" in caught.value.cause
    assert "model=" in caught.value.remedy


@pytest.mark.parametrize("said", [{"max_length": 1030, "frequency_stride": 10, "time_stride": 10}, {"max_length": 20}])
def test_a_length_that_does_not_fit_is_refused(said):
    with pytest.raises(InputError, match=r"model\.max_length="):
        settled(1212, **said)


# What no file says


@pytest.mark.parametrize(
    ("said", "placeholders"),
    [
        ({}, []),
        ({"mean": None}, ["stats=CHOOSE"]),
        ({"std": None}, ["stats=CHOOSE"]),
        ({"problem_type": None}, ["loss=CHOOSE"]),
        ({"mean": None, "std": None, "problem_type": None}, ["stats=CHOOSE", "loss=CHOOSE"]),
        ({"mean": None, "problem_type": None, "head": "none"}, ["stats=CHOOSE"]),
    ],
)
def test_normalisation_and_loss_are_asked_for(said, placeholders):
    assert [question.placeholder for question in settled(1212, **said).unsaid] == placeholders


def test_a_family_with_its_own_features_needs_no_normalisation():
    found = settled(None, family=FAMILIES["passt"], shapes=family_shapes("passt_s10"), mean=None, std=None)
    assert found.questions == ()
    assert geometry(found) == (10, 10, 998)
    assert found.variant.num_mel_bins == 128


def test_the_figures_of_the_question_are_those_of_the_choices():
    from support.models import compose

    for name, figures in STATS.items():
        model = compose("model=custom", f"stats={name}").model
        assert (model.mean, model.std) == figures


# Other families


def test_a_pretrained_file_records_its_sizes():
    stored = {"p_input_fdim": 128, "p_input_tdim": 1024}
    found = settled(
        None, family=FAMILIES["ssast"], shapes=family_shapes("ssast_patch_pretrained", prefix=False),
        values=lambda name: np.array(float(stored[name])) if name in stored else None,
    )  # fmt: skip
    assert geometry(found) == (16, 16, 1024)
    assert "max_length 1024: read from the file" in found.notes


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 100.5])
def test_a_recorded_size_that_is_not_a_whole_number_is_ignored(value):
    found = settled(
        None, family=FAMILIES["ssast"], shapes=family_shapes("ssast_patch_pretrained", prefix=False),
        values=lambda name: np.array(value) if name.startswith("p_input") else None,
    )  # fmt: skip
    assert not any("read from the file" in note for note in found.notes)


def test_position_embeddings_of_another_batch_speak_for_no_columns():
    """Their shape is told where the tensors are compared with the table."""
    shapes = {**ast_shapes(patches=32), "v.pos_embed": (0, 34, 192)}
    assert settled(None, shapes=shapes, values=lambda name: np.zeros(shapes[name])).strides is not None


@pytest.mark.parametrize(
    ("columns", "length", "expected"),
    [(31, 316, (10, 10, 316)), (62, 626, (10, 10, 626)), (125, 1256, (10, 10, 1256)), (187, 1876, (10, 10, 1876))],
)
def test_the_published_maest_lengths_are_read(columns, length, expected):
    shapes = {**family_shapes("maest_10s"), "time_new_pos_embed": (1, 192, 1, columns)}
    assert geometry(settled(None, family=FAMILIES["maest"], shapes=shapes)) == expected
    assert geometry(settled(None, family=FAMILIES["maest"], shapes=shapes, max_length=length)) == expected


def test_a_shorter_input_of_summed_positions_is_a_choice():
    found = settled(None, family=FAMILIES["passt"], shapes=family_shapes("passt_s10"), max_length=500)
    assert geometry(found) == (10, 10, 500)
    longer = settled(None, family=FAMILIES["passt"], shapes=family_shapes("passt_s10"), max_length=1400)
    assert {reading.time_stride for reading in longer.readings} == {14, 15, 16}
    with pytest.raises(InputError, match=r"model\.max_length=2000"):
        settled(None, family=FAMILIES["passt"], shapes=family_shapes("passt_s10"), max_length=2000)


def test_patches_of_frames_have_no_stride_of_frequency():
    shapes = family_shapes("ssast_frame_finetuned", prefix=False)
    assert settled(None, family=FAMILIES["ssast_frame"], shapes=shapes).strides is not None
    found = settled(None, family=FAMILIES["ssast_frame"], shapes=shapes, max_length=128)
    assert geometry(found) == (128, 1, 128)


# Properties


@given(
    bins=st.sampled_from([40, 64, 80, 96, 128, 256]),
    frequency=st.integers(1, 16),
    time=st.integers(1, 16),
    length=st.integers(16, 1500),
)
@settings(max_examples=200, deadline=None)
def test_the_true_reading_is_found_or_listed_and_a_set_length_kept(bins, frequency, time, length):
    rows, columns = (bins - 16) // frequency + 1, (length - 16) // time + 1
    assume(rows * columns < 20000)
    shapes = ast_shapes(patches=rows * columns, layers=1)
    strides = {"frequency_stride": frequency, "time_stride": time}
    for said in ({}, {"max_length": length}, {"time_stride": time}, strides):
        found = settled(None, shapes=shapes, num_mel_bins=bins, **said)
        assert any((r.frequency_stride, r.time_stride) == (frequency, time) and r.spans(length) for r in found.readings)
    found = settled(None, shapes=shapes, num_mel_bins=bins, max_length=length, **strides)
    assert geometry(found) == (frequency, time, length)
    assert found.questions == ()


@given(patches=st.integers(1, 3000), bins=st.integers(16, 200), height=st.integers(1, 16), width=st.integers(1, 16))
@settings(max_examples=100, deadline=None)
def test_every_reading_gives_the_patches(patches, bins, height, width):
    for reading in of_grid(patches, (height, width), bins, (None, None)):
        for length in (reading.shortest, reading.longest, canonical(reading, AST.lengths)):
            rows = (bins - height) // reading.frequency_stride + 1
            columns = (length - width) // reading.time_stride + 1
            assert rows * columns == patches


@pytest.mark.parametrize(
    ("reading", "length"),
    [
        (Reading(10, 10, 12, 101, 1016, 1025), 1024),
        (Reading(10, 10, 12, 79, 796, 805), 798),
        (Reading(10, 10, 12, 29, 296, 305), 300),
        (Reading(10, 10, 12, 28, 286, 295), 290),
        (Reading(1, 1, 1, 5, 21, 21), 21),
    ],
)
def test_the_canonical_length(reading, length):
    assert canonical(reading, AST.lengths) == length
