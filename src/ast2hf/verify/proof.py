"""The proof as a whole: the written folder, reloaded, against the original on one clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ast2hf import device as devices
from ast2hf.audio import Clip
from ast2hf.checkpoint.source import Source
from ast2hf.checkpoint.state_dict import Checkpoint
from ast2hf.huggingface import reload
from ast2hf.reference.model import build
from ast2hf.report.evidence import Evidence
from ast2hf.run import Model, Run
from ast2hf.verify import ladder


def prove(run: Run, staged: Path, source: Source, checkpoint: Checkpoint, model: Model, clip: Clip) -> None:
    report, settings = run.report, run.config.model
    assert report.device is not None
    device = torch.device(report.device)
    tolerance = run.config.verify.tolerance(device.type, report.dtype)
    with run.stages("verify", f"Prove it on {device}"), devices.full_precision():
        original = checkpoint.load_with_torch()
        ladder.check_weights(report, staged, model.plan, original)
        converted_model = ladder.check_load(report, staged, device)
        features = ladder.check_features(report, staged, model.front_end, clip.waveform, tolerance)
        run.evidence = Evidence(features[0].numpy())
        features = features.to(device)
        reference = build(model.geometry, original).to(device)(features)
        converted = reload.activations(converted_model, features)
        run.evidence = replace(
            run.evidence, original=reference.logits[0].cpu().numpy(), converted=converted.logits[0].cpu().numpy()
        )
        ladder.best_labels(report, converted, reference, model.labels, settings.problem_type)
        ladder.check_outputs(report, converted, reference, tolerance)
        ladder.check_expected_logits(
            report, converted.logits, settings.expected_logits, run.config.verify.expected_logits, source, clip
        )
