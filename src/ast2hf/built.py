"""What a pickled module says about its computation beyond the tensors: module classes, strides, heads, epsilons.

A state dict has none of this. If a file holds the whole module, these settings fill in what the user left unset, and a
model that computes something other than its family does is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError, InputError, printable
from ast2hf.families import heads
from ast2hf.families.exact import BLOCK_EPSILON, HEAD_EPSILON
from ast2hf.families.geometry import Geometry

if TYPE_CHECKING:
    from ast2hf.checkpoint.module_trees import Built
    from ast2hf.matches import Match

_TORCH = "torch.nn.modules."
_LAYER_NORM = _TORCH + "normalization.LayerNorm"
_ACTIVATIONS = _TORCH + "activation."

_HARMLESS = {"GELU", "Softmax"}
"""Activations that every block has: in its feed-forward layers and in its attention."""

_SILENT = {"Dropout", "AlphaDropout", "FeatureAlphaDropout", "Identity"}
"""Parts of a head that do nothing at inference."""

_OTHERWISE = "use it with its own code, or retrain it with the standard modules of its family"


def filled(variant: Variant, match: Match) -> Variant:
    """``variant`` with strides, attention heads and the head's norm taken from the file wherever they are unset."""
    modules, encoder = _modules(match), _encoder(match)
    found: dict[str, Any] = {"head_norm": match.head_norm}
    if stride := _pair(modules, f"{encoder}patch_embed.proj", "stride"):
        kernel = match.state_dict.shapes.get(f"{encoder}patch_embed.proj.weight", ())
        found["time_stride"] = stride[1]
        if kernel[2:3] == kernel[3:4]:  # otherwise there is one row of patches and no frequency stride
            found["frequency_stride"] = stride[0]
    if count := _whole(modules, f"{encoder}blocks.0.attn", "num_heads"):
        found["num_attention_heads"] = count
    return replace(variant, **{name: value for name, value in found.items() if getattr(variant, name) is None})


def check(match: Match, geometry: Geometry) -> None:
    """Raise if, according to the file, the model computes something else before its head.

    InputError if no setting can express it; ConfigurationError if ``geometry``, in the terms of Hugging Face's AST,
    comes from a setting that contradicts the file.
    """
    modules, encoder = _modules(match), _encoder(match)
    if not modules:
        return
    _check_patches(modules, f"{encoder}patch_embed.proj", geometry)
    blocks = [f"{encoder}blocks.{layer}." for layer in range(geometry.num_hidden_layers)]
    for block in blocks:
        count = _whole(modules, f"{block}attn", "num_heads")
        if count is not None and count != geometry.num_attention_heads:
            raise ConfigurationError(
                f"model.num_attention_heads is {geometry.num_attention_heads}, but the pickled model has {count}",
                "correct model.num_attention_heads, or leave it out",
            )
    for name, module in modules.items():
        if name.startswith(f"{encoder}blocks.") and (what := _activation(module)):
            shown = f"{printable(name, 100)} of the pickled model is {printable(what, 60)}"
            raise InputError(f"{shown}, but its family uses GELU", _OTHERWISE)
    for name in (*(block + norm for block in blocks for norm in ("norm1", "norm2")), f"{encoder}norm"):
        if reason := _why_no_norm(modules, name, BLOCK_EPSILON):
            raise InputError(reason, _OTHERWISE)


def head_norm(match: Match) -> str | None:
    """PLAIN if the head is a layer norm without parameters followed by a linear layer, else None."""
    found = heads.linear_alone(match.state_dict.shapes, match.family.classifier) and _plain_norm(match)
    return heads.PLAIN if found else None


def why_no_head(match: Match) -> str | None:
    """Why the head cannot be expressed according to the file, although its tensors would fit; None if it can."""
    modules = _modules(match)
    if not modules:
        return None
    layout = heads.layout(match.state_dict.shapes, match.family.classifier, match.head_norm)
    norm = layout.norm or _plain_norm(match)
    if norm is None:
        return (
            "model.head_norm=plain says that a layer norm without parameters precedes the linear layer, "
            "but the pickled model has none"
        )
    if reason := _why_no_norm(modules, norm, HEAD_EPSILON):
        return reason
    parent = layout.linear.rpartition(".")[0] + "."
    for name, module in modules.items():
        if name.startswith(parent) and name not in (norm, layout.linear) and _last(module.kind) not in _SILENT:
            return (
                f"the classifier of the pickled model contains {printable(_last(module.kind), 60)} "
                f"({printable(name, 100)}), but that of Hugging Face's AST is only a layer norm and a linear layer"
            )
    return None


def _modules(match: Match) -> dict[str, Built]:
    """The modules, keyed by the names that the state dict uses."""
    candidates = {candidate.keys: candidate for candidate in match.state_dict.checkpoint.candidates}
    return {
        part.renamed(name): module
        for part in match.state_dict.parts
        for name, module in candidates[part.keys].modules.items()
        if name.startswith(part.prefix)
    }


def _plain_norm(match: Match) -> str | None:
    """The name of the layer norm without parameters before the head's linear layer; None if there is none."""
    parent = match.family.classifier + "."
    linear = heads.layout(match.state_dict.shapes, match.family.classifier, heads.PLAIN).linear.removeprefix(parent)
    for name, module in _modules(match).items():
        part = name.removeprefix(parent) if name.startswith(parent) else ""
        if not (part.isdecimal() and part.isascii() and int(part) < int(linear)):
            continue
        if module.kind == _LAYER_NORM and module.settings.get("elementwise_affine") is False:
            return name
    return None


def _encoder(match: Match) -> str:
    """The prefix of the transformer's names."""
    return match.family.anchors[0].rpartition(".")[0] + "." if "." in match.family.anchors[0] else ""


def _check_patches(modules: Mapping[str, Built], name: str, geometry: Geometry) -> None:
    stride = _pair(modules, name, "stride")
    rows = geometry.frequency_patches
    if stride and (stride[1] != geometry.time_stride or (rows > 1 and stride[0] != geometry.frequency_stride)):
        raise ConfigurationError(
            f"the strides are set to {geometry.frequency_stride} x {geometry.time_stride}, but the pickled model has "
            f"{stride[0]} x {stride[1]}",
            "correct model.frequency_stride and model.time_stride, or leave them out",
        )
    for setting, plain in (("padding", (0, 0)), ("dilation", (1, 1))):
        if (_pair(modules, name, setting) or plain) != plain:
            raise InputError(f"the patch embedding of the pickled model uses {setting}", _OTHERWISE)


def _why_no_norm(modules: Mapping[str, Built], name: str, epsilon: float) -> str | None:
    """Why the module ``name`` is not a layer norm with ``epsilon``; None if it is, or if the file does not say."""
    if name not in modules:
        return None
    kind, settings = modules[name]
    if kind.startswith(_TORCH) and _last(kind) != "LayerNorm":
        return f"{name} of the pickled model is {printable(_last(kind), 60)}, not a layer norm"
    own = settings.get("eps")
    if type(own) is float and own != epsilon:
        return f"{name} of the pickled model has an epsilon of {own:g}, but its family uses {epsilon:g}"
    return None


def _activation(module: Built) -> str | None:
    """The name of the activation ``module``, if the blocks of the family have no such activation; else None."""
    name = _last(module.kind)
    if not module.kind.startswith(_ACTIVATIONS):
        return None
    approximate = module.settings.get("approximate", "none")
    if name == "GELU" and type(approximate) is str and approximate != "none":
        return f"GELU ({approximate})"
    return None if name in _HARMLESS else name


def _last(kind: str) -> str:
    return kind.rpartition(".")[2]


def _whole(modules: Mapping[str, Built], name: str, setting: str) -> int | None:
    value = modules[name].settings.get(setting) if name in modules else None
    return value if type(value) is int and value > 0 else None


def _pair(modules: Mapping[str, Built], name: str, setting: str) -> tuple[int, int] | None:
    value = modules[name].settings.get(setting) if name in modules else None
    found = tuple(_ints(value)) if isinstance(value, (tuple, list)) and len(value) == 2 else ()
    return (found[0], found[1]) if len(found) == 2 else None


def _ints(values: tuple[object, ...] | list[object]) -> Iterator[int]:
    return (value for value in values if type(value) is int)
