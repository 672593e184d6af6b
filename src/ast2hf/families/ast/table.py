"""The table for the Audio Spectrogram Transformer: original name, shape, name on disk in the Hugging Face layout.

Left: names of the authors' state dict without ``module.``. Right: the names that transformers reads on disk since 4.25
and that 5.x still writes (in memory, 5.9 and later use others). Data only.
"""

from ast2hf.mapping.rules import Drop, Table, rename, split

_E = "audio_spectrogram_transformer.embeddings."
_L = "audio_spectrogram_transformer.encoder.layer.{layer}."
_B = "v.blocks.{layer}."
_IMAGENET = "ImageNet classifier of the vision model that AST started from; its forward does not use it"

# fmt: off
TABLE: Table = (
    rename("v.cls_token",               _E + "cls_token",                          (1, 1, "hidden")),
    rename("v.dist_token",              _E + "distillation_token",                 (1, 1, "hidden")),
    rename("v.pos_embed",               _E + "position_embeddings",                (1, "positions", "hidden")),
    rename("v.patch_embed.proj.weight", _E + "patch_embeddings.projection.weight", ("hidden", 1, "patch", "patch")),
    rename("v.patch_embed.proj.bias",   _E + "patch_embeddings.projection.bias",   ("hidden",)),

    rename(_B + "norm1.weight",     _L + "layernorm_before.weight",       ("hidden",)),
    rename(_B + "norm1.bias",       _L + "layernorm_before.bias",         ("hidden",)),
    split(_B + "attn.qkv.weight",  (_L + "attention.attention.query.weight",
                                    _L + "attention.attention.key.weight",
                                    _L + "attention.attention.value.weight"), ("hidden", "hidden")),
    split(_B + "attn.qkv.bias",    (_L + "attention.attention.query.bias",
                                    _L + "attention.attention.key.bias",
                                    _L + "attention.attention.value.bias"),   ("hidden",)),
    rename(_B + "attn.proj.weight", _L + "attention.output.dense.weight", ("hidden", "hidden")),
    rename(_B + "attn.proj.bias",   _L + "attention.output.dense.bias",   ("hidden",)),
    rename(_B + "norm2.weight",     _L + "layernorm_after.weight",        ("hidden",)),
    rename(_B + "norm2.bias",       _L + "layernorm_after.bias",          ("hidden",)),
    rename(_B + "mlp.fc1.weight",   _L + "intermediate.dense.weight",     ("mlp", "hidden")),
    rename(_B + "mlp.fc1.bias",     _L + "intermediate.dense.bias",       ("mlp",)),
    rename(_B + "mlp.fc2.weight",   _L + "output.dense.weight",           ("hidden", "mlp")),
    rename(_B + "mlp.fc2.bias",     _L + "output.dense.bias",             ("hidden",)),

    rename("v.norm.weight",     "audio_spectrogram_transformer.layernorm.weight", ("hidden",)),
    rename("v.norm.bias",       "audio_spectrogram_transformer.layernorm.bias",   ("hidden",)),
    rename("mlp_head.0.weight", "classifier.layernorm.weight",                    ("hidden",)),
    rename("mlp_head.0.bias",   "classifier.layernorm.bias",                      ("hidden",)),
    rename("mlp_head.1.weight", "classifier.dense.weight",                        ("labels", "hidden")),
    rename("mlp_head.1.bias",   "classifier.dense.bias",                          ("labels",)),

    Drop("v.head.weight", _IMAGENET, (1000, "hidden")),
    Drop("v.head.bias", _IMAGENET, (1000,)),
    Drop("v.head_dist.weight", _IMAGENET, (1000, "hidden")),
    Drop("v.head_dist.bias", _IMAGENET, (1000,)),
)
# fmt: on
