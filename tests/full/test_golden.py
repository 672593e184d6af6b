"""The reference against the authors' own code (timm 0.4.5, eval mode, no autocast, CPU): figures in tests/data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import VARIANTS, geometry_of, model_of

from ast2hf.audio import PACKAGED, load_clip
from ast2hf.checkpoint import synthetic
from ast2hf.device import full_precision
from ast2hf.families.ast import AST

DATA = Path(__file__).parent.parent / "data"
GOLDEN = np.load(DATA / "upstream_outputs.npz")
"""By name of the model, input and figure."""

SEEDS = json.loads((DATA / "upstream_seeds.json").read_text(encoding="utf-8"))
"""By name of the model: of the weights and the input that its figures were computed with."""

LOGITS_ATOL = 5e-6
BLOCK_NORM_RTOL = 1e-5


@pytest.mark.full
@pytest.mark.parametrize("name", sorted({key.partition("/")[0] for key in GOLDEN}))
def test_reference_computes_what_the_authors_code_computes(name, tmp_path):
    (variant,) = (variant for variant in VARIANTS if model_of(variant).name == name)
    settings, geometry, seed = model_of(variant), geometry_of(variant), SEEDS[name]
    front_end = AST.front_end(settings)
    inputs = {
        "recipe": torch.from_numpy(synthetic.spectrogram(geometry, seed)),
        "audio": front_end(load_clip(PACKAGED, settings, tmp_path).waveform),
    }
    reference = AST.reference(geometry, synthetic.state_dict(AST, geometry, seed, prefix=""))
    for kind, features in inputs.items():
        with full_precision():
            out = reference(features)
        golden = {key: GOLDEN[f"{name}/{kind}/{key}_float64"] for key in ("logits", "block_norms", "block_heads")}
        assert np.abs(out.logits[0].double().numpy() - golden["logits"]).max() <= LOGITS_ATOL
        norms = np.array([block.double().norm().item() for block in out.blocks[1:]])
        assert np.abs(norms / golden["block_norms"] - 1).max() <= BLOCK_NORM_RTOL
        heads = np.stack([block[0, :2, :8].double().numpy() for block in out.blocks[1:]])
        np.testing.assert_allclose(heads, golden["block_heads"], atol=2e-5, rtol=0)
