"""The usual procedure, as people run it today with transformers 4.57: the other side of the comparison.

Load, rename, ``load_state_dict``, one forward, ``save_pretrained``; nothing is vetted and nothing compared. It runs in
an environment of its own, without ast2hf, and holds what it does in memory, as is usual.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

EMBEDDINGS = "audio_spectrogram_transformer.embeddings."
LAYER = "audio_spectrogram_transformer.encoder.layer."

WHOLE_NAMES = {
    "v.cls_token": EMBEDDINGS + "cls_token",
    "v.dist_token": EMBEDDINGS + "distillation_token",
    "v.pos_embed": EMBEDDINGS + "position_embeddings",
}

BEGINNINGS = {
    "v.patch_embed.proj.": EMBEDDINGS + "patch_embeddings.projection.",
    "v.norm.": "audio_spectrogram_transformer.layernorm.",
    "mlp_head.0.": "classifier.layernorm.",
    "mlp_head.1.": "classifier.dense.",
}

IN_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def rename(name: str) -> str:
    """The name of a tensor that stays whole."""
    if name in WHOLE_NAMES:
        return WHOLE_NAMES[name]
    if name.startswith("v.blocks."):
        layer, _, rest = name.removeprefix("v.blocks.").partition(".")
        part, _, kind = rest.rpartition(".")
        return f"{LAYER}{layer}.{IN_BLOCK[part]}.{kind}"
    old = next(old for old in BEGINNINGS if name.startswith(old))
    return BEGINNINGS[old] + name.removeprefix(old)


def convert(original: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict in the names of transformers 4.57."""
    converted: dict[str, Tensor] = {}
    for key, tensor in original.items():
        name = key.removeprefix("module.")
        if name.startswith("v.head"):
            continue
        if ".attn.qkv." in name:
            layer, kind = name.split(".")[2], name.rpartition(".")[2]
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                converted[f"{LAYER}{layer}.attention.attention.{part}.{kind}"] = third
        else:
            converted[rename(name)] = tensor
    return converted


def run(checkpoint: Path, clip: Path, output: Path, settings: dict[str, Any]) -> None:
    front_end = {name: settings.pop(name) for name in ("mean", "std", "sampling_rate")}
    state_dict = convert(torch.load(checkpoint, map_location="cpu"))
    model = ASTForAudioClassification(ASTConfig(**settings)).eval()
    model.load_state_dict(state_dict)
    extractor = ASTFeatureExtractor(
        max_length=settings["max_length"], num_mel_bins=settings["num_mel_bins"], **front_end
    )
    waveform, rate = soundfile.read(clip, dtype="float32")
    inputs = extractor(waveform, sampling_rate=rate, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    print("first logits", logits[0, :3].tolist())
    model.save_pretrained(output)
    extractor.save_pretrained(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("checkpoint", "clip", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("settings", type=json.loads, help="JSON: arguments of ASTConfig, with mean, std, sampling_rate")
    arguments = parser.parse_args()
    run(arguments.checkpoint, arguments.clip, arguments.output, arguments.settings)
