"""Which models a folder may hold; the loading itself is in tests/unit/test_pipeline.py."""

import os

import pytest

from ast2hf.errors import InputError
from ast2hf.formats.huggingface import config, names
from ast2hf.output import files, up_to_date


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no readable config.json"),
        ("[1]", "has no readable config.json"),
        ('{"architectures": ["BertModel"]}', "is not an Audio Spectrogram Transformer \\(BertModel\\)"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        config.read_head(tmp_path)


def test_the_head_of_a_folder_is_read_from_its_architecture(tmp_path):
    for architecture, head in (("ASTModel", "none"), ("ASTForAudioClassification", "classification")):
        files.write_json(tmp_path / "config.json", {"architectures": [architecture]})
        assert config.read_head(tmp_path) == head


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError, match="has no readable config"):
        config.read_head(tmp_path)
    os.mkfifo(tmp_path / names.REPORT)
    assert up_to_date.model_files(tmp_path) == names.MODEL_FILES


def test_another_attention_is_computed_with_for_a_while():
    from transformers import ASTConfig, ASTModel

    from ast2hf.formats.huggingface import loading

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    model = loading.HuggingFaceModel(ASTModel(ASTConfig(**small)), None)
    assert model.attentions == {"eager": None, "sdpa": None, "flash_attention_2": "not for cpu"}
    with pytest.raises(KeyError), model.with_attention("eager"):
        assert {layer.config._attn_implementation for layer in model.model.modules() if hasattr(layer, "config")} == {
            "eager"
        }
        raise KeyError
    assert model.model.config._attn_implementation == "sdpa"


def test_flash_attention_is_for_cuda_and_where_it_is_installed(monkeypatch):
    import torch

    from ast2hf.formats.huggingface import loading

    cuda = torch.device("cuda:1")
    assert loading._no_flash(torch.device("mps")) == "not for mps"
    for installed, why in ((False, "not installed"), (True, None)):
        monkeypatch.setattr(loading, "is_flash_attn_2_available", lambda found=installed: found)
        assert loading._no_flash(cuda) == why
