"""Models that are not converted are named, whatever stands before their names, and none is taken for another."""

import pytest
from support.fake_checkpoints import FAMILY_FILES, ast_shapes, family_shapes, prefixed

from ast2hf.families import FAMILIES, foreign
from ast2hf.families.signs import MAX_PREFIXES, Sign, prefixes

D = 768
VIT = {"blocks.0.attn.qkv.weight": (3 * D, D), "cls_token": (1, 1, D), "patch_embed.proj.weight": (D, 1, 16, 16)}
COLOUR = {**VIT, "patch_embed.proj.weight": (D, 3, 16, 16), "norm.weight": (D,)}
BLOCKS = {"blocks.0.attn.qkv.weight": (3 * D, D)}

MODELS = {
    "huggingface": {"audio_spectrogram_transformer.embeddings.distillation_token": (1, 1, D)},
    "huggingface_classifier": {"audio_spectrogram_transformer.embeddings.cls_token": (1, 1, D)},
    "deit_huggingface": {"deit.embeddings.distillation_token": (1, 1, D)},
    "deit": {**COLOUR, "dist_token": (1, 1, D), "head_dist.weight": (1000, D), "pos_embed": (1, 198, D)},
    "cav_mae": {"blocks_a.0.norm1.weight": (D,), "modality_a": (1, 1, D), "mlp_head.0.weight": (D,)},
    "cav_mae_pretrained": {"blocks_a.0.norm1.weight": (D,), "modality_a": (1, 1, D), "decoder_embed.weight": (512, D)},
    "ast_no_distillation": {n: s for n, s in ast_shapes().items() if n != "v.dist_token"},
    "ssast_one_token": {n: s for n, s in ast_shapes().items() if n != "v.dist_token"} | {"mask_embed": (1, 1, 192)},
    "passt_no_distillation": {
        **VIT, "new_pos_embed": (1, 1, D), "freq_new_pos_embed": (1, D, 12, 1), "time_new_pos_embed": (1, D, 1, 99),
    },
    "dasheng": {**BLOCKS, "time_pos_embed": (1, D, 1, 63), "freq_pos_embed": (1, D, 4, 1), "init_bn.1.weight": (64,)},
    "ced": {
        **BLOCKS, "time_pos_embed": (1, D, 1, 63), "freq_pos_embed": (1, D, 4, 1), "outputlayer.1.weight": (527, D),
    },
    "beats": {"patch_embedding.weight": (512, 1, 16, 16), "encoder.pos_conv.0.weight_g": (1, 1, 128)},
    "beats_finetuned": {"encoder.layers.0.self_attn.grep_linear.weight": (8, 64), "predictor.weight": (527, D)},
    "eat": {"modality_encoders.IMAGE.extra_tokens": (1, 1, D), "blocks.0.attn.qkv.weight": (3 * D, D)},
    "m2d": {**VIT, "norm_stats": (2,)},
    "mae": {**VIT, "decoder_embed.weight": (512, D), "mask_token": (1, 1, 512)},
    "audiomae": {**VIT, "fc_norm.weight": (D,), "head.weight": (527, D)},
    "atst_frame": {"mask_embed": (1, 1, D), "patch_embed.patch_embed.weight": (D, 256), "norm_frame.weight": (D,)},
    "atst_clip": {"mask_embed": (1, 1, D), "patch_embed.patch_embed.weight": (D, 256), "norm.weight": (D,)},
    "vit": {**COLOUR, "head.weight": (1000, D)},
    "cnn": {"features.0.0.weight": (16, 1, 3, 3), "features.0.1.running_mean": (16,)},
    "swin": {"layers.0.blocks.0.attn.relative_position_bias_table": (225, 4)},
    "wav2vec2": {"feature_extractor.conv_layers.0.0.weight": (512, 1, 10)},
}  # fmt: skip
"""By the name of the foreign model, tensors that its own code saves."""


@pytest.mark.parametrize("prefix", ["", "module.", "model.net._orig_mod."])
@pytest.mark.parametrize("name", MODELS)
def test_each_is_named_behind_any_prefix(name, prefix):
    assert foreign.find(prefixed(prefix, MODELS[name])).name == name


@pytest.mark.parametrize("name", MODELS)
def test_no_foreign_model_is_mistaken_for_a_family(name):
    assert not [family.name for family in FAMILIES.values() if family.fits(MODELS[name])]


def test_every_row_has_a_model_in_this_test():
    assert {row.name for row in foreign.FOREIGN} == set(MODELS)


@pytest.mark.parametrize("key", [key for key in FAMILY_FILES if key != "ast_no_distillation"])
def test_a_convertible_family_matches_no_foreign_model_but_vit(key):
    found = foreign.find(family_shapes(key))
    assert found is None or found.name == "vit"


@pytest.mark.parametrize("name", MODELS)
def test_the_refusal_says_what_it_is_and_why_and_what_to_do(name):
    error = foreign.refusal(MODELS[name])
    row = foreign.find(MODELS[name])
    assert error.exit_code == 3
    assert f"looks like {row.what}: {row.why}" in error.cause
    assert error.remedy == row.remedy


def test_unknown_tensors_are_an_unknown_model():
    assert "looks like an unknown model (its first tensors: weight)" in foreign.refusal({"weight": (3,)}).cause


def test_a_modified_model_of_a_family_is_named_as_such():
    assert "looks like a modified SSAST" in foreign.refusal({"v.cls": (3,)}, "SSAST").cause


def test_hostile_names_are_shown_in_part():
    assert len(str(foreign.refusal({f"{i}" + "\u202e" * 200: (1,) for i in range(1000)}))) < 600


@pytest.mark.parametrize(
    ("names", "anchor", "expected"),
    [
        (["a", "x.a", "xa", "x.y.a", "a.b"], "a", ["", "x.", "x.y."]),
        (["v.head.weight"], "head.", ["v."]),
        (["head.weight", "my_head.weight"], "head.", [""]),
        ([f"{i}.a" for i in range(1000)], "a", [f"{i}." for i in range(MAX_PREFIXES)]),
    ],
)
def test_a_prefix_is_whole_parts_of_a_name(names, anchor, expected):
    assert prefixes(names, anchor) == expected


def test_a_sign_is_all_at_one_prefix():
    sign = Sign(("a", "b."), without=("c",))
    assert sign.fits({"x.a": (1,), "x.b.c": (1,)})
    assert not sign.fits({"x.a": (1,), "y.b.c": (1,)})
    assert not sign.fits({"a": (1,), "b.c": (1,), "c": (1,)})
