from dataclasses import replace

import torch

from ast2hf.families.ast.front_end import KaldiFbank

FRONT_END = KaldiFbank(sampling_rate=16000, num_mel_bins=128, max_length=100, mean=-4.0, std=4.0)


def noise(seconds: float) -> torch.Tensor:
    return torch.randn(int(16000 * seconds), generator=torch.Generator().manual_seed(0)) * 0.1


def test_shape():
    assert FRONT_END(noise(0.5)).shape == (1, 100, 128)


def test_padding_is_zero_before_it_is_normalised():
    features = FRONT_END(noise(0.5))  # 48 frames
    assert torch.all(features[0, 48:] == (0 - -4.0) / 8.0)
    assert not torch.any(features[0, :48] == 0.5)


def test_long_clips_are_cut():
    clip = noise(3)
    assert torch.allclose(FRONT_END(clip)[0, 50], FRONT_END(clip[: 16000 * 2])[0, 50], atol=1e-2)


def test_a_constant_offset_does_not_matter():
    torch.testing.assert_close(FRONT_END(noise(0.5) + 0.3), FRONT_END(noise(0.5)), atol=2e-3, rtol=0)


def test_the_jobs_of_a_sweep_share_what_is_computed_from_the_same():
    clip = noise(0.5)
    features = FRONT_END(clip)
    assert replace(FRONT_END)(clip) is features
    assert not torch.equal(replace(FRONT_END, mean=-3.0)(clip), features)
    assert not torch.equal(FRONT_END(clip.flip(0)), features)
