"""The reference in miniature; against the authors' figures in test_golden.py, at full size in tests/full."""

from dataclasses import replace

import torch
from conftest import TINY

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST


def build():
    return AST.reference(TINY, synthetic.state_dict(AST, TINY, 1, prefix=""))


def test_shapes():
    out = build()(torch.zeros(2, TINY.max_length, TINY.num_mel_bins))
    assert len(out.blocks) == 1 + TINY.num_hidden_layers
    assert out.blocks[0].shape == (2, TINY.num_positions, TINY.hidden_size)
    assert out.last_hidden_state.shape == out.blocks[0].shape
    assert out.pooled.shape == (2, TINY.hidden_size)
    assert out.logits.shape == (2, TINY.num_labels)


def test_each_norm_has_its_own_epsilon():
    eps = {name: m.eps for name, m in build().named_modules() if isinstance(m, torch.nn.LayerNorm)}
    assert eps.pop("head.0") == 1e-5
    assert set(eps.values()) == {1e-6}
    assert len(eps) == 2 * TINY.num_hidden_layers + 1


def test_weights_are_used_in_place():
    weights = synthetic.state_dict(AST, TINY, 1, prefix="")
    model = AST.reference(TINY, weights)
    assert model.positions.data_ptr() == weights["v.pos_embed"].data_ptr()


def test_attention_is_softmax_of_scaled_products():
    attention = build().blocks[0].attn
    x = torch.randn(1, 5, TINY.hidden_size, generator=torch.Generator().manual_seed(0))
    query, key, value = attention.qkv(x)[0].chunk(3, dim=-1)
    weights = torch.softmax(query @ key.T / TINY.hidden_size**0.5, dim=-1)
    torch.testing.assert_close(attention(x)[0], attention.proj(weights @ value), atol=1e-6, rtol=1e-5)


def test_tokens_are_class_distillation_then_rows_of_frequency():
    model = build()
    x = torch.randn(1, TINY.max_length, TINY.num_mel_bins, generator=torch.Generator().manual_seed(0))
    embeddings = model(x).blocks[0] - model.positions
    torch.testing.assert_close(embeddings[:, :1], model.cls_token)
    torch.testing.assert_close(embeddings[:, 1:2], model.dist_token)
    frequency, time = 2, 1
    patch = x[0, 16 * time : 16 * time + 16, 16 * frequency : 16 * frequency + 16].T
    projected = (model.patch_embed.proj.weight[:, 0] * patch).sum((1, 2)) + model.patch_embed.proj.bias
    position = 2 + frequency * TINY.time_patches + time
    torch.testing.assert_close(embeddings[0, position], projected, atol=1e-5, rtol=1e-5)


def test_without_a_head_there_are_no_logits_and_the_rest_is_the_same():
    features = torch.randn(1, TINY.max_length, TINY.num_mel_bins, generator=torch.Generator().manual_seed(0))
    weights = synthetic.state_dict(AST, TINY, 1, prefix="")
    encoder = AST.reference(replace(TINY, num_labels=None), weights)(features)
    assert encoder.logits is None
    assert torch.equal(encoder.pooled, build()(features).pooled)
    assert torch.equal(encoder.pooled, encoder.last_hidden_state[:, :2].mean(dim=1))
