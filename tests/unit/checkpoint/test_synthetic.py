import hashlib

import numpy as np
import pytest
import torch
from conftest import TINY

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST


@pytest.mark.parametrize(
    ("name", "shape", "digest"),
    [
        ("v.cls_token", (1, 1, 64), "50cf06d17c6a5604"),
        ("v.blocks.0.norm1.weight", (64,), "8fca0393fe822e40"),
        ("mlp_head.1.weight", (7, 64), "996fc7752abe5860"),
        ("mlp_head.1.bias", (7,), "0e4855f0bca00ee8"),
    ],
)
def test_the_recipe_gives_the_bits_that_the_golden_figures_rest_on(name, shape, digest):
    weight = synthetic.weight(name, shape, seed=1)
    assert (weight.dtype, weight.shape) == (np.float32, shape)
    assert hashlib.sha256(weight.tobytes()).hexdigest()[:16] == digest


def test_a_few_of_its_values():
    values = synthetic.weight("mlp_head.1.bias", (7,), seed=1)[:3]
    assert [float(v).hex() for v in values] == [
        "-0x1.284d840000000p-6",
        "0x1.62ae9c0000000p-7",
        "-0x1.95faaa0000000p-8",
    ]


def test_the_spectrogram_of_the_recipe():
    features = synthetic.spectrogram(TINY, seed=1)
    assert features.shape == (1, 64, 128)
    assert hashlib.sha256(features.tobytes()).hexdigest()[:16] == "bf0dc48c77fc389b"


def test_scales_keep_activations_in_range():
    assert np.std(synthetic.weight("x.weight", (64, 256), 0)) == pytest.approx(1 / 16, rel=0.05)
    assert np.std(synthetic.weight("x.bias", (10_000,), 0)) == pytest.approx(0.02, rel=0.05)
    norm = synthetic.weight("x.weight", (10_000,), 0)
    assert (np.mean(norm), np.std(norm)) == (pytest.approx(1, abs=0.01), pytest.approx(0.1, rel=0.05))


def test_seed_and_name_each_change_everything():
    a = synthetic.weight("a.weight", (4, 4), 0)
    assert not np.any(a == synthetic.weight("a.weight", (4, 4), 1))
    assert not np.any(a == synthetic.weight("b.weight", (4, 4), 0))


def test_names_and_shapes_are_those_of_the_original():
    shapes = synthetic.shapes(AST, TINY)
    assert len(shapes) == 11 + 12 * TINY.num_hidden_layers + 4
    assert shapes["v.pos_embed"] == (1, 2 + 8 * 4, 64)
    assert shapes["v.blocks.1.attn.qkv.weight"] == (192, 64)
    assert shapes["v.blocks.1.mlp.fc1.bias"] == (256,)
    assert shapes["mlp_head.1.weight"] == (7, 64)
    assert shapes["v.head_dist.weight"] == (1000, 64)
    assert shapes["v.head.bias"] == (1000,)
    assert list(synthetic.state_dict(AST, TINY, 0)) == ["module." + name for name in shapes]


def test_the_same_seed_gives_the_same_file(tmp_path):
    files = [tmp_path / folder / "stand-in.pth" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        synthetic.write(file, AST, TINY, 5)
    assert files[0].read_bytes() == files[1].read_bytes()
    loaded = torch.load(files[0], weights_only=True)
    assert torch.equal(loaded["module.v.dist_token"], torch.from_numpy(synthetic.weight("v.dist_token", (1, 1, 64), 5)))
