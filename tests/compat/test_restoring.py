"""A folder made here, trained and saved with transformers 4.57 or the pinned 5.x, becomes a file of the authors'."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY, TINY_OVERRIDES, Cli
from safetensors.torch import load_file
from support.authors_module import UNUSED, authors_module

from ast2hf.families.ast import AST

SCRIPT = Path(__file__).parent / "train_folder.py"

LABELS = {
    "same": 7, "with_extractor": 7, "bfloat16": 7, "other_labels": 3, "two_unnamed_labels": 2, "encoder": None,
    "exact_epsilon": 7,
}  # fmt: skip
"""How many classes a folder has after each change of the script."""

BLOCK = {
    "layernorm_before": "norm1", "attention.output.dense": "attn.proj", "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
}  # fmt: skip

REST = {
    "embeddings.cls_token": "v.cls_token", "embeddings.distillation_token": "v.dist_token",
    "embeddings.position_embeddings": "v.pos_embed",
    "embeddings.patch_embeddings.projection.weight": "v.patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "v.patch_embed.proj.bias",
    "layernorm.weight": "v.norm.weight", "layernorm.bias": "v.norm.bias",
    "classifier.layernorm.weight": "mlp_head.0.weight", "classifier.layernorm.bias": "mlp_head.0.bias",
    "classifier.dense.weight": "mlp_head.1.weight", "classifier.dense.bias": "mlp_head.1.bias",
}  # fmt: skip

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module", params=["4.57", "5"])
def trained(request, tmp_path_factory):
    """The command, and of each change the folder that was saved and what the trained model computes."""
    cli = Cli.make(tmp_path_factory.mktemp("trained"))
    sources = {"exact_epsilon": cli.folder / "exact"}
    for name, overrides in (("plain", ()), ("exact", ("model.exact_epsilon=true",))):
        result = cli.tiny(f"output_dir={name}", *overrides)
        assert result.code == 0, result.err
    arguments = [
        str(part)
        for change in LABELS
        for part in (change, sources.get(change, cli.folder / "plain"), cli.folder / f"saved-{change}")
    ]
    python = request.config.getoption("--compat-python") if request.param == "4.57" else sys.executable
    found = json.loads(subprocess.check_output([python, SCRIPT, *arguments], text=True, env=cli.environment))
    assert all(entry["version"].startswith(request.param) for entry in found)
    return cli, {
        change: (cli.folder / f"saved-{change}", torch.tensor(entry["output"]))
        for change, entry in zip(LABELS, found, strict=True)
    }


def in_the_authors_names(folder):
    """The tensors of a saved folder, in float32; written without the tables of the package."""
    saved = {
        name.removeprefix("audio_spectrogram_transformer."): tensor.float()
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    found = {f"module.{new}": saved.pop(old) for old, new in REST.items() if old in saved}
    for layer in range(TINY.num_hidden_layers):
        before, after = f"encoder.layer.{layer}.", f"module.v.blocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [saved.pop(f"{before}attention.attention.{part}.{kind}") for part in ("query", "key", "value")]
            found[f"{after}attn.qkv.{kind}"] = torch.cat(parts)
            found |= {f"{after}{new}.{kind}": saved.pop(f"{before}{old}.{kind}") for old, new in BLOCK.items()}
    assert not saved
    return found


@pytest.mark.parametrize("change", LABELS)
def test_what_training_changed_is_in_the_authors_file(trained, change):
    cli, folders = trained
    folder, output = folders[change]
    assert (folder / "preprocessor_config.json").exists() == (change == "with_extractor")
    assert not (folder / "conversion_report.json").exists()
    file = cli.folder / f"{change}.pth"
    result = cli("task=restore", "tracking=off", *TINY_OVERRIDES, f"folder={folder}", f"checkpoint={file}")
    assert result.code == 0, result.err
    report = cli.run_reports()[-1]
    assert report["status"] == "passed"
    assert report["checks"]["weights"]["measured"]["recomputed"] == (13 if change == "exact_epsilon" else 0)

    found, expected = torch.load(file, weights_only=True), in_the_authors_names(folder)
    source = in_the_authors_names(cli.folder / ("exact" if change == "exact_epsilon" else "plain"))
    assert found.keys() == expected.keys()
    if change != "exact_epsilon":  # whose weights are scaled
        assert all(torch.equal(found[name], expected[name]) for name in found)
    moved = {name for name in expected if not torch.equal(expected[name], source[name])}
    assert moved == expected.keys()

    geometry = replace(TINY, num_labels=LABELS[change])
    missing = authors_module(geometry).load_state_dict(found, strict=False)
    assert (set(missing.missing_keys), missing.unexpected_keys) == (UNUSED, [])
    original = AST.reference(geometry, {name.removeprefix("module."): tensor for name, tensor in found.items()})
    features = torch.randn(1, TINY.max_length, TINY.num_mel_bins, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        activations = original(features)
    again = activations.pooled if activations.logits is None else activations.logits
    torch.testing.assert_close(again[0], output, atol=5e-5, rtol=1e-5)
