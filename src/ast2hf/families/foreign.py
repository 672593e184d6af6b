"""Checkpoints of other models: recognised, and refused with what they look like."""

from __future__ import annotations

from collections.abc import Collection

from ast2hf.errors import InputError, printable

_ORIGINAL = "give a checkpoint of the original AST code"

_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        "audio_spectrogram_transformer.embeddings.cls_token",
        "an AST in the Hugging Face layout already",
        "load it with transformers, or give the original checkpoint",
    ),
    ("blocks_a.0.norm1.weight", "a CAV-MAE (audio-visual masked autoencoder)", _ORIGINAL),
    ("decoder_embed.weight", "a masked autoencoder, such as AudioMAE", _ORIGINAL),
    ("blocks.0.attn.qkv.weight", "a Vision Transformer (ViT, DeiT, or a fine-tuned AudioMAE)", _ORIGINAL),
)
"""A tensor that the later models of this list do not have, the model, the remedy. The first match counts."""

_CLASS_TOKEN = "v.cls_token"


def refusal(names: Collection[str]) -> InputError:
    """The error for tensors of these ``names``, which no family recognises."""
    what, remedy = next(((what, remedy) for name, what, remedy in _KNOWN if name in names), _other(names))
    shown = ", ".join(printable(name, 60) for name in list(names)[:3])
    return InputError(
        f"the checkpoint is not of the original AST code: it looks like {what} (its first tensors: {shown})", remedy
    )


def _other(names: Collection[str]) -> tuple[str, str]:
    for name in names:
        if name.endswith("." + _CLASS_TOKEN):
            prefix = printable(name.removesuffix(_CLASS_TOKEN), 60)
            return f"an AST whose names begin with {prefix} in addition", "remove that prefix and save it again"
    return "another model", _ORIGINAL
