import pytest
from conftest import TINY

from ast2hf.checkpoint import synthetic
from ast2hf.errors import InputError
from ast2hf.families import recognise
from ast2hf.families.ast import AST


def test_an_ast_is_recognised():
    assert recognise(synthetic.shapes(AST, TINY)) is AST


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["audio_spectrogram_transformer.embeddings.cls_token"], "an AST in the Hugging Face layout already"),
        (["blocks_a.0.norm1.weight", "mlp_head.0.weight", "decoder_embed.weight"], "a CAV-MAE"),
        (["cls_token", "blocks.0.attn.qkv.weight", "decoder_embed.weight"], "such as AudioMAE"),
        (["cls_token", "blocks.0.attn.qkv.weight", "head.weight"], "a Vision Transformer"),
        (["model.v.cls_token"], "an AST whose names begin with model. in addition"),
        (["conv1.weight", "fc.bias"], "another model"),
    ],
)
def test_other_models_are_named(names, words):
    with pytest.raises(InputError, match="is not of the original AST code: it looks like") as caught:
        recognise(names)
    assert words in caught.value.cause
    assert f"its first tensors: {names[0]}" in caught.value.cause


def test_hostile_names_are_shown_in_part():
    with pytest.raises(InputError) as caught:
        recognise(["\u202e" * 200] * 1000)
    assert len(str(caught.value)) < 500
