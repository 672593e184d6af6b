"""The original Audio Spectrogram Transformer in plain torch, in the authors' names, without autocast.

Each layer norm has its own epsilon: 1e-6 in the blocks and after them (timm's vision transformer), 1e-5 in the head
(torch's default). Checked against the authors' code to 5e-6 in all logits of all eight variants: tests/full.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ast2hf.families.base import Activations
from ast2hf.families.geometry import Geometry

BLOCK_EPS = 1e-6
HEAD_EPS = 1e-5


class Attention(nn.Module):
    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, hidden) to the same shape."""
        batch, tokens, hidden = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, hidden // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, hidden))
        return out


class Mlp(nn.Module):
    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, intermediate)
        self.fc2 = nn.Linear(intermediate, hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    def __init__(self, hidden: int, heads: int, intermediate: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden, eps=BLOCK_EPS)
        self.attn = Attention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden, eps=BLOCK_EPS)
        self.mlp = Mlp(hidden, intermediate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PatchEmbed(nn.Module):
    def __init__(self, hidden: int, patch: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, hidden, kernel_size=patch, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return out


class VisionTransformer(nn.Module):
    """The parameters under ``v.`` in the original."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        hidden = geometry.hidden_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, hidden))
        self.dist_token = nn.Parameter(torch.empty(1, 1, hidden))
        self.pos_embed = nn.Parameter(torch.empty(1, geometry.num_positions, hidden))
        self.patch_embed = PatchEmbed(hidden, geometry.patch_size, (geometry.frequency_stride, geometry.time_stride))
        self.blocks = nn.ModuleList(
            Block(hidden, geometry.num_attention_heads, geometry.intermediate_size)
            for _ in range(geometry.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(hidden, eps=BLOCK_EPS)


class AudioSpectrogramTransformer(nn.Module):
    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.v = VisionTransformer(geometry)
        self.mlp_head = None
        if geometry.num_labels is not None:
            self.mlp_head = nn.Sequential(
                nn.LayerNorm(geometry.hidden_size, eps=HEAD_EPS), nn.Linear(geometry.hidden_size, geometry.num_labels)
            )

    def forward(self, features: Tensor) -> Activations:
        """``features``: (batch, max_length, num_mel_bins), normalised."""
        v = self.v
        patches = v.patch_embed(features.unsqueeze(1).transpose(2, 3))
        tokens = [t.expand(features.shape[0], -1, -1) for t in (v.cls_token, v.dist_token)]
        x = torch.cat([*tokens, patches], dim=1) + v.pos_embed
        blocks = [x]
        for block in v.blocks:
            x = block(x)
            blocks.append(x)
        x = v.norm(x)
        pooled = x[:, :2].mean(dim=1)
        return Activations(tuple(blocks), x, pooled, None if self.mlp_head is None else self.mlp_head(pooled))


def build(geometry: Geometry, state_dict: Mapping[str, Tensor]) -> AudioSpectrogramTransformer:
    """The original model over the tensors of ``state_dict`` (authors' names), which are used in place, not copied."""
    with torch.device("meta"):
        model = AudioSpectrogramTransformer(geometry)
    needed = model.state_dict().keys()
    model.load_state_dict({name: state_dict[name] for name in needed}, strict=True, assign=True)
    return model.eval().requires_grad_(False)
