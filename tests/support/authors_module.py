"""Modules and parameters as the authors' ``ASTModel`` has them, for ``load_state_dict``. It computes nothing.

Their class is a timm vision transformer with a distillation token as ``v`` and a head of its own as ``mlp_head``; their
training wraps it in ``DataParallel``. The two ImageNet classifiers of timm stay in it and are not used.
"""

from __future__ import annotations

import torch
from torch import nn

from ast2hf.families.geometry import Geometry

IMAGENET_CLASSES = 1000

UNUSED = frozenset(f"module.v.{head}.{name}" for head in ("head", "head_dist") for name in ("weight", "bias"))
"""The parameters that the authors' forward does not use."""


def authors_module(geometry: Geometry, *, imagenet: bool = True) -> nn.DataParallel[nn.Module]:
    """``imagenet``: with timm's own classifiers."""
    hidden, model = geometry.hidden_size, nn.Module()
    model.v = nn.Module()
    model.v.cls_token, model.v.dist_token = (nn.Parameter(torch.zeros(1, 1, hidden)) for _ in range(2))
    model.v.pos_embed = nn.Parameter(torch.zeros(1, geometry.num_positions, hidden))
    model.v.patch_embed = nn.Module()
    strides = (geometry.frequency_stride, geometry.time_stride)
    model.v.patch_embed.proj = nn.Conv2d(1, hidden, geometry.patch_size, stride=strides)
    model.v.blocks = nn.Sequential(
        *(_block(hidden, geometry.intermediate_size) for _ in range(geometry.num_hidden_layers))
    )
    model.v.norm = nn.LayerNorm(hidden)
    if imagenet:
        model.v.head, model.v.head_dist = (nn.Linear(hidden, IMAGENET_CLASSES) for _ in range(2))
    if geometry.num_labels is not None:
        model.mlp_head = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, geometry.num_labels))
    return nn.DataParallel(model)


def _block(hidden: int, intermediate: int) -> nn.Module:
    block = nn.Module()
    block.norm1, block.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
    block.attn, block.mlp = nn.Module(), nn.Module()
    block.attn.qkv, block.attn.proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
    block.mlp.fc1, block.mlp.fc2 = nn.Linear(hidden, intermediate), nn.Linear(intermediate, hidden)
    return block
