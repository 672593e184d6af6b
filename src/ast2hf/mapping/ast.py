"""The table for the Audio Spectrogram Transformer: original name, shape, name on disk in the Hugging Face layout.

Left: names of the authors' state dict without ``module.``. Right: the names that transformers reads on disk since 4.25
and that 5.x still writes (in memory, 5.9 and later use others). Data only.
"""

from ast2hf.mapping.rules import Drop, Rename, Rule, Split

_E = "audio_spectrogram_transformer.embeddings."
_L = "audio_spectrogram_transformer.encoder.layer.{layer}."
_B = "v.blocks.{layer}."
_IMAGENET = "ImageNet classifier of the vision model that AST started from; its forward does not use it"

# fmt: off
TABLE: tuple[Rule, ...] = (
    Rename("v.cls_token",               _E + "cls_token",                          (1, 1, "hidden")),
    Rename("v.dist_token",              _E + "distillation_token",                 (1, 1, "hidden")),
    Rename("v.pos_embed",               _E + "position_embeddings",                (1, "positions", "hidden")),
    Rename("v.patch_embed.proj.weight", _E + "patch_embeddings.projection.weight", ("hidden", 1, "patch", "patch")),
    Rename("v.patch_embed.proj.bias",   _E + "patch_embeddings.projection.bias",   ("hidden",)),

    Rename(_B + "norm1.weight",     _L + "layernorm_before.weight",       ("hidden",)),
    Rename(_B + "norm1.bias",       _L + "layernorm_before.bias",         ("hidden",)),
    Split(_B + "attn.qkv.weight",  (_L + "attention.attention.query.weight",
                                    _L + "attention.attention.key.weight",
                                    _L + "attention.attention.value.weight"), ("3*hidden", "hidden")),
    Split(_B + "attn.qkv.bias",    (_L + "attention.attention.query.bias",
                                    _L + "attention.attention.key.bias",
                                    _L + "attention.attention.value.bias"),   ("3*hidden",)),
    Rename(_B + "attn.proj.weight", _L + "attention.output.dense.weight", ("hidden", "hidden")),
    Rename(_B + "attn.proj.bias",   _L + "attention.output.dense.bias",   ("hidden",)),
    Rename(_B + "norm2.weight",     _L + "layernorm_after.weight",        ("hidden",)),
    Rename(_B + "norm2.bias",       _L + "layernorm_after.bias",          ("hidden",)),
    Rename(_B + "mlp.fc1.weight",   _L + "intermediate.dense.weight",     ("mlp", "hidden")),
    Rename(_B + "mlp.fc1.bias",     _L + "intermediate.dense.bias",       ("mlp",)),
    Rename(_B + "mlp.fc2.weight",   _L + "output.dense.weight",           ("hidden", "mlp")),
    Rename(_B + "mlp.fc2.bias",     _L + "output.dense.bias",             ("hidden",)),

    Rename("v.norm.weight",     "audio_spectrogram_transformer.layernorm.weight", ("hidden",)),
    Rename("v.norm.bias",       "audio_spectrogram_transformer.layernorm.bias",   ("hidden",)),
    Rename("mlp_head.0.weight", "classifier.layernorm.weight",                    ("hidden",)),
    Rename("mlp_head.0.bias",   "classifier.layernorm.bias",                      ("hidden",)),
    Rename("mlp_head.1.weight", "classifier.dense.weight",                        ("labels", "hidden")),
    Rename("mlp_head.1.bias",   "classifier.dense.bias",                          ("labels",)),

    Drop("v.head.weight", _IMAGENET),
    Drop("v.head.bias", _IMAGENET),
    Drop("v.head_dist.weight", _IMAGENET),
    Drop("v.head_dist.bias", _IMAGENET),
)
# fmt: on
