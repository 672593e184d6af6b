"""What the folder's feature extractor computes; the loading of models is in tests/unit/test_pipeline.py."""

from dataclasses import replace

import torch

from ast2hf.huggingface import description, folder
from ast2hf.huggingface.reload import extract_features
from ast2hf.reference.front_end import FrontEnd

FRONT_END = FrontEnd(sampling_rate=16000, num_mel_bins=128, max_length=64, mean=-4.0, std=4.0)


def test_features_are_computed_once_for_the_same_extractor_and_clip(tmp_path):
    def features(name, front_end, clip):
        (tmp_path / name).mkdir()
        folder.write_json(tmp_path / name / folder.PREPROCESSOR, description.preprocessor_config(front_end))
        return extract_features(tmp_path / name, clip, 16000)

    clip = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
    first = features("a", FRONT_END, clip)
    assert first.shape == (1, 64, 128)
    assert features("b", FRONT_END, clip) is first
    assert not torch.equal(features("c", replace(FRONT_END, mean=-3.0), clip), first)
    assert not torch.equal(features("d", FRONT_END, clip.flip(0)), first)
