"""Checkpoints of other models: recognised, named, and refused with the reason why they cannot be converted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ast2hf.errors import InputError, printable
from ast2hf.families.signs import Sign
from ast2hf.mapping.ops import Sizes

_ONE_TOKEN = (
    "it has one class token, but Hugging Face's AST always has two, and the second one would take part in attention "
    "and change the results"
)
_MEAN = "it averages the patches, but Hugging Face's AST averages its two class tokens"
_POST_NORM = "it normalises after each block, whereas AST normalises before"
_CONVOLUTIONS = "it is built from convolutions, but AST is a transformer"
_COLOURS = "it takes images with three colour channels"

_OWN_CODE = "use it with its own code"
_FAMILIES = "use a checkpoint of AST, SSAST, Patch-Mix, PaSST or MAEST"


@dataclass(frozen=True)
class Foreign:
    """A model that cannot be converted. ``what``: its name with an article; ``why``: the reason."""

    name: str
    what: str
    why: str
    remedy: str
    sign: Sign


_CONVERTED = "an AST that is already in the Hugging Face layout"
_LOAD = "load it with transformers, or use the original checkpoint"

_EMBEDDINGS = "embeddings.distillation_token"
_CAV_MAE = "blocks_a.0.norm1.weight"
_DASHENG = ("time_pos_embed", "freq_pos_embed")
_VIT = "blocks.0.attn.qkv.weight"
_ATST = ("mask_embed", "patch_embed.patch_embed.weight")
_BEATS = "encoder.layers.0.self_attn.grep_linear.weight"
_DECODER = "decoder_embed.weight"
_SWIN = "layers.0.blocks.0.attn.relative_position_bias_table"

# fmt: off
FOREIGN: tuple[Foreign, ...] = (
    Foreign("deit_huggingface", "a DeiT in the Hugging Face layout (an image model)", _COLOURS,
            _FAMILIES, Sign(("deit." + _EMBEDDINGS,))),
    Foreign("huggingface", _CONVERTED, "there is nothing to convert", _LOAD, Sign((_EMBEDDINGS,))),
    Foreign("huggingface_classifier", _CONVERTED, "there is nothing to convert", _LOAD,
            Sign(("audio_spectrogram_transformer.",))),
    Foreign("cav_mae_pretrained", "a pretrained CAV-MAE (audio-visual masked autoencoder)",
            f"it has two streams and no class token, and {_MEAN}", _OWN_CODE, Sign((_CAV_MAE, _DECODER))),
    Foreign("cav_mae", "a CAV-MAE (audio-visual masked autoencoder)",
            f"it has no class token, and {_MEAN}", _OWN_CODE, Sign((_CAV_MAE,))),
    Foreign("ssast_one_token", "an SSAST with one class token", _ONE_TOKEN, _OWN_CODE,
            Sign(("v.cls_token", "mask_embed"), without=("v.dist_token",))),
    Foreign("ast_no_distillation", "an AST without distillation token (such as FlexiAST or ElasticAST)", _ONE_TOKEN,
            _OWN_CODE, Sign(("v.cls_token",), without=("v.dist_token",))),
    Foreign("passt_no_distillation", "a PaSST without distillation token (distilled=False)", _ONE_TOKEN, _OWN_CODE,
            Sign(("new_pos_embed", "freq_new_pos_embed", "time_new_pos_embed"), without=("dist_token",))),
    Foreign("ced", "a CED", f"it has no class token and a batch norm before its blocks, and {_MEAN}", _OWN_CODE,
            Sign((*_DASHENG, "outputlayer."))),
    Foreign("dasheng", "a Dasheng", f"it has no class token and a batch norm before its blocks, and {_MEAN}",
            _OWN_CODE, Sign(_DASHENG)),
    Foreign("beats_finetuned", "a fine-tuned BEATs", f"{_POST_NORM}, and its positions are relative", _OWN_CODE,
            Sign((_BEATS, "predictor."))),
    Foreign("beats", "a BEATs", f"{_POST_NORM}, and its positions are relative", _OWN_CODE, Sign((_BEATS,))),
    Foreign("beats", "a BEATs", f"{_POST_NORM}, and its positions are relative", _OWN_CODE,
            Sign(("encoder.pos_conv.0.", "patch_embedding.weight"))),
    Foreign("eat", "an EAT (or another model of data2vec 2)", f"{_POST_NORM}, and it has one class token", _OWN_CODE,
            Sign(("modality_encoders.IMAGE.",))),
    Foreign("m2d", "an M2D (masked modeling duo)", _ONE_TOKEN, _OWN_CODE, Sign(("norm_stats",))),
    Foreign("atst_frame", "an ATST-Frame", "it has no class token, and its patches are 64 x 4", _OWN_CODE,
            Sign((*_ATST, "norm_frame."))),
    Foreign("atst_clip", "an ATST-Clip", "it has one class token, and its patches are 64 x 4", _OWN_CODE, Sign(_ATST)),
    Foreign("mae", "a pretrained masked autoencoder, such as AudioMAE", _ONE_TOKEN, _OWN_CODE, Sign((_DECODER,))),
    Foreign("audiomae", "a fine-tuned AudioMAE",
            "it has one class token, and its head takes the mean of the patches before the last norm", _OWN_CODE,
            Sign(("fc_norm.weight", _VIT, "cls_token"), without=("norm.weight",), channels=1)),
    Foreign("deit", "a DeiT, the Vision Transformer for images that AST starts from", _COLOURS,
            _FAMILIES, Sign(("dist_token", _VIT), channels=3)),
    Foreign("vit", "a Vision Transformer (ViT, or an audio model built on one)", _ONE_TOKEN, _FAMILIES,
            Sign((_VIT,), without=("dist_token",))),
    Foreign("vit", "a Vision Transformer, but not one of a known audio model", "its layout is unknown", _FAMILIES,
            Sign((_VIT,))),
    Foreign("swin", "a Swin transformer (such as HTS-AT or CLAP's audio branch)",
            "its attention is within windows, and it has no class token", _OWN_CODE, Sign((_SWIN,))),
    Foreign("wav2vec2", "a raw-audio model (such as wav2vec 2.0, HuBERT or WavLM)", "it takes no spectrogram",
            _OWN_CODE, Sign(("feature_extractor.conv_layers.",))),
    Foreign("cnn", "a convolutional network (such as EfficientAT, PANNs or PSLA)", _CONVOLUTIONS, _OWN_CODE,
            Sign(("running_mean",))),
    Foreign("cnn", "a convolutional network", _CONVOLUTIONS, _OWN_CODE, Sign(("features.0.0.weight",))),
)
"""The first entry whose sign is present wins. Names and reasons: from the models' own code."""
# fmt: on

_UNSPECIFIC = "vit"
"""Its tensors are also in every model that can be converted."""

_SHOWN = 3


def find(shapes: Mapping[str, Sizes]) -> Foreign | None:
    """The model to which tensors with these names (prefixes included) and ``shapes`` belong; None if unknown."""
    return next((foreign for foreign in FOREIGN if foreign.sign.fits(shapes)), None)


def refusal(shapes: Mapping[str, Sizes], almost: str | None = None) -> InputError:
    """The error for tensors that no family recognises. ``almost``: the title of a family whose first tensor exists."""
    found = find(shapes)
    shown = ", ".join(printable(name, 60) for name in list(shapes)[:_SHOWN])
    if found is not None and not (almost and found.name == _UNSPECIFIC):
        looks, remedy = f"{found.what}: {found.why}", found.remedy
    elif almost is not None:
        looks, remedy = f"a modified {almost}: some of its tensors are missing or have other shapes", _FAMILIES
    else:
        looks, remedy = "an unknown model", _FAMILIES
    return InputError(f"the checkpoint looks like {looks} (its first tensors: {shown})", remedy)
