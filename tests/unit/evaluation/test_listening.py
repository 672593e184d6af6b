"""From clips to the features of both front ends, in this process; the processes beside it: tests/integration."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.data_sets import RATE, sound

from ast2hf.errors import VerificationError
from ast2hf.evaluation.hearing import FrontEnds, Heard, Unheard
from ast2hf.evaluation.listening import listening
from ast2hf.evaluation.source import Example
from ast2hf.families.ast.front_end import KaldiFbank

FRONT_END = KaldiFbank(RATE, 16, 20, -4.0, 4.5)


def front_ends(extract=lambda waveform: FRONT_END(waveform) + 1):
    return FrontEnds(FRONT_END, SimpleNamespace(extractor=lambda folder, rate: extract), None)


def hear(*examples, ends=None):
    with listening(ends or front_ends(), 0) as listen:
        return list(listen(examples))


def test_both_front_ends_hear_each_clip_in_order():
    examples = [Example(f"clip {n}", (n,), sound(n)) for n in range(3)]
    found = hear(*examples)
    assert [example for example, _ in found] == examples
    for example, result in found:
        assert result.sha256 == hashlib.sha256(example.audio).hexdigest()
        assert result.original.shape == (20, 16)
        assert np.array_equal(result.converted, result.original + 1)
    assert len({result.original.tobytes() for _, result in found}) == 3


def test_a_file_and_its_content_are_the_same_clip(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(sound(1))
    ((_, a), (_, b)) = hear(Example("a", (), path), Example("b", (), sound(1)))
    assert a.sha256 == b.sha256
    assert np.array_equal(a.original, b.original)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "clip x is empty"),
        (sound(1)[:100], "clip x is truncated"),
        (sound(1, 0.01), "clip x is too short (160 samples"),
    ],
)
def test_a_clip_that_cannot_be_decoded_is_named_with_the_reason(content, reason):
    ((_, result),) = hear(Example("x", (), content))
    assert isinstance(result, Unheard)
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert result.reason.startswith(reason)


def test_a_missing_file_is_named_without_its_path(tmp_path):
    ((_, result),) = hear(Example("x", (), tmp_path / "gone.wav"))
    assert result == Unheard("", "clip x cannot be read (No such file or directory)")


def test_an_extractor_that_does_not_work_ends_it():
    def fails(waveform):
        raise VerificationError("the folder's feature extractor does not work", "correct it")

    with pytest.raises(VerificationError):
        hear(Example("x", (), sound(1)), ends=front_ends(fails))


def test_features_are_computed_in_one_thread_which_their_last_bits_depend_on():
    seen = []

    def extract(waveform):
        seen.append(torch.get_num_threads())
        return FRONT_END(waveform)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert isinstance(hear(Example("x", (), sound(1)), ends=front_ends(extract))[0][1], Heard)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1]
