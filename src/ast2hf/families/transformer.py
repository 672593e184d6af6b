"""The transformer that all families share, in plain torch, in timm's names, without autocast: their reference.

Each layer norm has its own epsilon: 1e-6 in the blocks and after them (timm's vision transformer), 1e-5 in the head
(torch's default). Checked against the code of each family's authors to 5e-6: tests/unit/families, tests/full.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ast2hf.families.base import CLS, POOLINGS, Activations
from ast2hf.families.exact import BLOCK_EPSILON, HEAD_EPSILON
from ast2hf.families.geometry import Geometry
from ast2hf.families.heads import Layout


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
        self.norm1 = nn.LayerNorm(hidden, eps=BLOCK_EPSILON)
        self.attn = Attention(hidden, heads)
        self.norm2 = nn.LayerNorm(hidden, eps=BLOCK_EPSILON)
        self.mlp = Mlp(hidden, intermediate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PatchEmbed(nn.Module):
    def __init__(self, hidden: int, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, hidden, kernel_size=kernel, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, bins, frames) to (batch, rows * columns, hidden), row by row."""
        out: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return out


class Transformer(nn.Module):
    """``kernel``: height and width of a patch in mel bins and frames; may be narrower than ``geometry.patch_size``.

    ``plain_norm``: whether the head's layer norm has no parameters.
    """

    def __init__(
        self, geometry: Geometry, kernel: tuple[int, int], pooling: str, plain_norm: bool = False
    ) -> None:  # fmt: skip
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {pooling}")
        hidden = geometry.hidden_size
        self.pooling = pooling
        self.frames = (geometry.time_patches - 1) * geometry.time_stride + kernel[1]
        self.cls_token = nn.Parameter(torch.empty(1, 1, hidden))
        self.dist_token = nn.Parameter(torch.empty(1, 1, hidden))
        self.positions = nn.Parameter(torch.empty(1, geometry.num_positions, hidden))
        self.patch_embed = PatchEmbed(hidden, kernel, (geometry.frequency_stride, geometry.time_stride))
        self.blocks = nn.ModuleList(
            Block(hidden, geometry.num_attention_heads, geometry.intermediate_size)
            for _ in range(geometry.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(hidden, eps=BLOCK_EPSILON)
        self.head = None
        if geometry.num_labels is not None:
            norm = nn.LayerNorm(hidden, eps=HEAD_EPSILON, elementwise_affine=not plain_norm)
            self.head = nn.Sequential(norm, nn.Linear(hidden, geometry.num_labels))

    def forward(self, features: Tensor) -> Activations:
        """``features``: (batch, frames, num_mel_bins), normalised; frames beyond the last patch are cut."""
        patches = self.patch_embed(features[:, : self.frames].unsqueeze(1).transpose(2, 3))
        tokens = [t.expand(features.shape[0], -1, -1) for t in (self.cls_token, self.dist_token)]
        x = torch.cat([*tokens, patches], dim=1) + self.positions
        blocks = [x]
        for block in self.blocks:
            x = block(x)
            blocks.append(x)
        x = self.norm(x)
        pooled = pool(x, self.pooling)
        return Activations(tuple(blocks), x, pooled, None if self.head is None else self.head(pooled))


def pool(tokens: Tensor, pooling: str) -> Tensor:
    """(batch, hidden) of the normed ``tokens`` (batch, n, hidden): the mean of the two class tokens, or of the rest."""
    return (tokens[:, :2] if pooling == CLS else tokens[:, 2:]).mean(dim=1)


def build(
    geometry: Geometry, state_dict: Mapping[str, Tensor], *, prefix: str, positions: Tensor, head: Layout,
    pooling: str = CLS,
) -> Transformer:  # fmt: skip
    """The original model on the tensors of ``state_dict``, without copying; after ``prefix`` the names are timm's.

    ``positions``: (1, tokens, hidden). ``head``: where the classifier is, if ``geometry`` has labels.
    """
    rows, columns = state_dict[prefix + "patch_embed.proj.weight"].shape[2:]
    with torch.device("meta"):
        model = Transformer(geometry, (rows, columns), pooling, plain_norm=head.norm is None)
    modules = {"head.0": head.norm, "head.1": head.linear}
    sources = {"positions": positions}
    for name in model.state_dict().keys() - sources.keys():
        module, _, parameter = name.rpartition(".")
        sources[name] = state_dict[f"{modules[module]}.{parameter}" if module in modules else prefix + name]
    model.load_state_dict(sources, strict=True, assign=True)
    return model.eval().requires_grad_(False)
