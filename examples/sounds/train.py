"""Trains the small model beside this file, on a CPU, in minutes:

    python examples/sounds/train.py FOLDER        writes sounds.pth, sounds.json, labels.csv there

Architecture, front end and loss are those of the authors of the Audio Spectrogram Transformer, and so are the names in
``sounds.pth``. ``sounds.json`` has what no checkpoint of theirs holds: the mean and the standard deviation of the
features of the training, in full, and the length of the input.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from sounds import HELD_OUT, MIDS, RATE, SOUNDS, TRAINING, clip
from torch import Tensor, nn

from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.families.base import CLS
from ast2hf.families.geometry import Geometry
from ast2hf.families.transformer import Transformer

GEOMETRY = Geometry(
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=1,
    num_labels=len(SOUNDS),
    patch_size=16,
    frequency_stride=10,
    time_stride=10,
    max_length=100,
    num_mel_bins=128,
)

BATCH = 32
STEPS = 2000
PEAK_RATE = 1.5e-3
"""The learning rate after the first ``WARM_UP`` steps."""

WARM_UP = 100

CLIPS_FOR_STATISTICS = 1000
CLIPS_TO_TEST = 1000


def log_mel(seed: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Features of the clips from ``start`` up to ``stop``, (clips, frames, bins), not normalised, and the classes."""
    front_end = KaldiFbank(RATE, GEOMETRY.num_mel_bins, GEOMETRY.max_length, mean=0.0, std=0.5)
    clips = [clip(seed, number) for number in range(start, stop)]
    features = torch.cat([front_end(torch.from_numpy(samples)) for samples, _ in clips])
    return features, torch.tensor([label for _, label in clips])


def statistics() -> tuple[float, float]:
    """Mean and standard deviation of the features of the training, padding included, as the authors take them.

    Rounded before the training uses them, so that what is written is exact.
    """
    features = log_mel(TRAINING, 0, CLIPS_FOR_STATISTICS)[0].double()
    return round(features.mean().item(), 7), round(features.std().item(), 7)


def untrained() -> Transformer:
    model = Transformer(GEOMETRY, (GEOMETRY.patch_size, GEOMETRY.patch_size), CLS)
    for token in (model.cls_token, model.dist_token, model.positions):
        nn.init.trunc_normal_(token, std=0.02)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return model


def train(mean: float, std: float, steps: int = STEPS, seed: int = 0) -> Transformer:
    """A model that heard ``steps`` batches of clips, none of them twice."""
    torch.manual_seed(seed)
    model = untrained()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    begun = time.monotonic()
    for step in range(steps):
        features, labels = log_mel(TRAINING, step * BATCH, (step + 1) * BATCH)
        loss = F.cross_entropy(logits(model, features, mean, std), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {steps}, loss {loss.item():.3f}, {time.monotonic() - begun:.0f} s", flush=True)
    return model.eval()


def _rate(step: int, steps: int) -> float:
    """The learning rate as a part of its peak: a linear rise, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def logits(model: Transformer, log_mel: Tensor, mean: float, std: float) -> Tensor:
    """(clips, classes) of features that are not normalised."""
    scores: Tensor = model((log_mel - mean) / (2 * std)).logits
    return scores


def accuracy(model: Transformer, mean: float, std: float, clips: int = CLIPS_TO_TEST) -> float:
    """The share of held-out clips whose best class is the right one."""
    features, labels = log_mel(HELD_OUT, 0, clips)
    with torch.inference_mode():
        best = torch.cat([logits(model, part, mean, std).argmax(dim=1) for part in torch.split(features, BATCH)])
    return (best == labels).double().mean().item()


def state_dict(model: Transformer) -> dict[str, Tensor]:
    """The tensors under the names of the authors' files."""
    renamed = {"positions": "v.pos_embed"}
    named = {}
    for name, tensor in model.state_dict().items():
        module, _, rest = name.partition(".")
        theirs = renamed.get(name, f"mlp_head.{rest}" if module == "head" else f"v.{name}")
        named[f"module.{theirs}"] = tensor.contiguous()
    return named


def write(folder: Path, model: Transformer, mean: float, std: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict(model), folder / "sounds.pth")
    facts = {
        "mean": mean,
        "std": std,
        "max_length": GEOMETRY.max_length,
        "clips_to_test": CLIPS_TO_TEST,
        "accuracy": accuracy(model, mean, std),
    }
    (folder / "sounds.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("index", "mid", "display_name"))
        rows.writerows((number, MIDS[number], name) for number, name in enumerate(SOUNDS))
    print(facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the small model of the examples.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    mean, std = statistics()
    write(folder, train(mean, std), mean, std)
