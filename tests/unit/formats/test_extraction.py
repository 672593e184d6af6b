"""What the folder's feature extractor computes."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY

from ast2hf.errors import InputError
from ast2hf.families.ast import AST
from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface import config, extraction, names
from ast2hf.mapping.plan import Plan
from ast2hf.output import files

FRONT_END = KaldiFbank(sampling_rate=16000, num_mel_bins=128, max_length=64, mean=-4.0, std=4.0)


def extractor(folder, front_end):
    spec = Spec(AST, "none", TINY, Plan(()), front_end, None, "", 1e-6)
    folder.mkdir()
    files.write_json(folder / names.PREPROCESSOR, config.preprocessor_config(spec))


def test_features_are_computed_once_for_the_same_extractor_and_clip(tmp_path):
    def features(name, front_end, clip):
        extractor(tmp_path / name, front_end)
        return extraction.features(tmp_path / name, clip, 16000)

    clip = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
    first = features("a", FRONT_END, clip)
    assert first.shape == (1, 64, 128)
    assert features("b", FRONT_END, clip) is first
    assert not torch.equal(features("c", replace(FRONT_END, mean=-3.0), clip), first)
    assert not torch.equal(features("d", FRONT_END, clip.flip(0)), first)


def test_a_folder_without_an_extractor_says_so(tmp_path):
    with pytest.raises(InputError, match="has no preprocessor_config"):
        extraction.features(tmp_path, torch.zeros(8000), 16000)


def test_an_extractor_that_users_would_get_instead_is_refused(tmp_path):
    from transformers import AutoFeatureExtractor

    extractor(tmp_path / "a", FRONT_END)
    clip = torch.randn(8000, generator=torch.Generator().manual_seed(1)) * 0.1
    extraction.features(tmp_path / "a", clip, 16000)
    extractor(tmp_path / "b", FRONT_END)
    other = config.preprocessor_config(Spec(AST, "none", TINY, Plan(()), replace(FRONT_END, mean=-3.0), None, "", 1e-6))
    files.write_json(tmp_path / "b" / names.PROCESSOR, {"feature_extractor": other})
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "b").mean == -3.0
    for made in (
        lambda: extraction.features(tmp_path / "b", clip, 16000),
        lambda: extraction.extractor(tmp_path / "b", 16000),
    ):
        with pytest.raises(InputError, match=r"b has a processor_config\.json"):
            made()
