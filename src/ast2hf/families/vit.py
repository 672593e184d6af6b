"""The rules that all families share: timm's vision transformer with a distillation token, as Hugging Face's AST.

Left: timm's names, after a prefix that depends on the family. Right: the names that transformers has read on disk since
4.25 and 5.x still writes (in memory, 5.9 and later use others).
"""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families import heads
from ast2hf.families.base import CLASSIFICATION, ENCODER, encoder_only
from ast2hf.families.exact import chosen
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Rule, Table, rename, split

POSITIONS = ENCODER + "embeddings.position_embeddings"
PROJECTION = ENCODER + "embeddings.patch_embeddings.projection.weight"

_NO_HEAD = "classifier; model.head=none converts the encoder alone"
_IMAGENET = "ImageNet classifier of the vision model that AST started from; not used by its forward"


def encoder(prefix: str, positions: Rule, projection: Rule | None = None) -> Table:
    """The rules for everything but the head, for tensors whose names begin with ``prefix``.

    ``positions`` is the rule for POSITIONS; ``projection`` the rule for PROJECTION, if the kernel is not square.
    """
    e, t = ENCODER + "embeddings.", ENCODER + "encoder.layer.{layer}."
    s, b = prefix, prefix + "blocks.{layer}."
    square = rename(s + "patch_embed.proj.weight", PROJECTION, ("hidden", 1, "patch", "patch"))
    # fmt: off
    return (
        rename(s + "cls_token",             e + "cls_token",                        (1, 1, "hidden")),
        rename(s + "dist_token",            e + "distillation_token",               (1, 1, "hidden")),
        positions,
        projection or square,
        rename(s + "patch_embed.proj.bias", e + "patch_embeddings.projection.bias", ("hidden",)),

        rename(b + "norm1.weight",     t + "layernorm_before.weight",       ("hidden",)),
        rename(b + "norm1.bias",       t + "layernorm_before.bias",         ("hidden",)),
        split(b + "attn.qkv.weight",  (t + "attention.attention.query.weight",
                                       t + "attention.attention.key.weight",
                                       t + "attention.attention.value.weight"), ("hidden", "hidden")),
        split(b + "attn.qkv.bias",    (t + "attention.attention.query.bias",
                                       t + "attention.attention.key.bias",
                                       t + "attention.attention.value.bias"),   ("hidden",)),
        rename(b + "attn.proj.weight", t + "attention.output.dense.weight", ("hidden", "hidden")),
        rename(b + "attn.proj.bias",   t + "attention.output.dense.bias",   ("hidden",)),
        rename(b + "norm2.weight",     t + "layernorm_after.weight",        ("hidden",)),
        rename(b + "norm2.bias",       t + "layernorm_after.bias",          ("hidden",)),
        rename(b + "mlp.fc1.weight",   t + "intermediate.dense.weight",     ("mlp", "hidden")),
        rename(b + "mlp.fc1.bias",     t + "intermediate.dense.bias",       ("mlp",)),
        rename(b + "mlp.fc2.weight",   t + "output.dense.weight",           ("hidden", "mlp")),
        rename(b + "mlp.fc2.bias",     t + "output.dense.bias",             ("hidden",)),

        rename(s + "norm.weight", ENCODER + "layernorm.weight", ("hidden",)),
        rename(s + "norm.bias",   ENCODER + "layernorm.bias",   ("hidden",)),
    )
    # fmt: on


def with_head(
    head: str, encoder: Table, drops: tuple[Drop, ...], classifier: str, shapes: Mapping[str, Sizes],
    exact_epsilon: bool, head_norm: str | None,
) -> Table:  # fmt: skip
    """The whole table: ``encoder``, the module ``classifier`` according to ``head``, and ``drops``.

    The other parameters: see :meth:`ast2hf.families.base.Family.table`.
    """
    if head == CLASSIFICATION:
        layout = heads.layout(shapes, classifier, head_norm) if shapes else heads.default(classifier)
        return chosen((*encoder, *heads.table(layout), *drops), exact_epsilon)
    apart = inside(classifier, _NO_HEAD, shapes, apart=True)
    return chosen((*encoder_only(encoder, _NO_HEAD), *apart, *drops), exact_epsilon)


def inside(module: str, reason: str, shapes: Mapping[str, Sizes], apart: bool = False) -> tuple[Drop, ...]:
    """Drops for all tensors of ``module``; without ``shapes``, for those of a head as the authors save it."""
    if not shapes:
        rules = heads.table(heads.default(module))
        return tuple(Drop(rule.sources[0], reason, rule.shapes[0], apart) for rule in rules)
    return tuple(Drop(name, reason, shape, apart) for name, shape in shapes.items() if name.startswith(module + "."))


def imagenet_heads(prefix: str) -> tuple[Drop, ...]:
    """The two classifiers of the vision model, which are still in the authors' files."""
    # fmt: off
    return (
        Drop(prefix + "head.weight",      _IMAGENET, (1000, "hidden")),
        Drop(prefix + "head.bias",        _IMAGENET, (1000,)),
        Drop(prefix + "head_dist.weight", _IMAGENET, (1000, "hidden")),
        Drop(prefix + "head_dist.bias",   _IMAGENET, (1000,)),
    )
    # fmt: on
