"""The Audio Spectrogram Transformer of Gong, Chung and Glass (2021), as its authors' code saves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ast2hf.config import Variant
from ast2hf.families import heads, sizes
from ast2hf.families.ast import table
from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.families.base import CLASSIFICATION, CLS, NO_SHAPES, Activations, Values
from ast2hf.families.geometry import CLASS_TOKENS, Geometry
from ast2hf.families.readings import Reading, of_grid
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Table
from ast2hf.results import NO_HEAD

if TYPE_CHECKING:
    from torch import Tensor


SIBLING = "classifier"
"""The classifier of a model that keeps it beside the encoder; the encoder's own ``mlp_head`` was then never trained."""

_CITATION = """\
@inproceedings{gong21b_interspeech,
  author    = {Yuan Gong and Yu-An Chung and James Glass},
  title     = {{AST: Audio Spectrogram Transformer}},
  booktitle = {Proc. Interspeech 2021},
  pages     = {571--575},
  year      = {2021},
  doi       = {10.21437/Interspeech.2021-698}
}"""


class Ast:
    """See :class:`ast2hf.families.base.Family`. Similar families inherit from it."""

    name = "ast"
    title = "Audio Spectrogram Transformer"
    citation = _CITATION
    remark: str | None = None
    anchors: tuple[str, ...] = ("v.cls_token", "v.dist_token", "v.pos_embed", "v.patch_embed.proj.weight")
    classifier = "mlp_head"
    poolings: tuple[str, ...] = (CLS,)
    expressible = True
    num_mel_bins: int | None = None
    lengths: tuple[int, ...] = (1024, 512, 128, 798)  # AudioSet, ESC-50, Speech Commands; ICBHI (Patch-Mix)

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        return square(shapes) and not has_sibling(shapes) and "mask_embed" not in shapes

    def heads(
        self, pooling: str, shapes: Mapping[str, Sizes], head_norm: str | None = None
    ) -> Mapping[str, str | None]:
        return {CLASSIFICATION: heads.why_not(shapes, self.classifier, head_norm), NO_HEAD: None}

    def readings(self, variant: Variant, shapes: Mapping[str, Sizes]) -> tuple[Reading, ...]:
        patches = sizes.size(table.POSITIONS, 1, shapes) - CLASS_TOKENS
        said = (variant.frequency_stride, variant.time_stride)
        return tuple(of_grid(patches, sizes.kernel(table.PREFIX, shapes), sizes.given(variant, "num_mel_bins"), said))

    def stored(self, values: Values) -> Mapping[str, int]:
        return {}

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        return sizes.geometry(variant, shapes, prefix=table.PREFIX, head=self.classifier)

    def table(
        self, head: str, shapes: Mapping[str, Sizes] = NO_SHAPES, exact_epsilon: bool = False,
        head_norm: str | None = None,
    ) -> Table:  # fmt: skip
        return table.table(head, shapes, exact_epsilon, classifier=self.classifier, head_norm=head_norm)

    def front_end(self, variant: Variant) -> KaldiFbank:
        assert variant.mean is not None
        assert variant.std is not None
        return KaldiFbank(
            variant.sampling_rate, sizes.given(variant, "num_mel_bins"), sizes.given(variant, "max_length"),
            variant.mean, variant.std,
        )  # fmt: skip

    def reference(
        self, geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str = CLS, head_norm: str | None = None
    ) -> Callable[[Tensor], Activations]:
        from ast2hf.families.ast import reference  # which imports torch

        return reference.build(geometry, state_dict, pooling, self.classifier, head_norm)


def has_sibling(shapes: Mapping[str, Sizes]) -> bool:
    """Whether there is a classifier beside the encoder."""
    return heads.why_not(shapes, SIBLING) is None


def square(shapes: Mapping[str, Sizes]) -> bool:
    """Whether ``shapes`` have the tensors of an AST with square patches."""
    rows, columns = sizes.kernel(table.PREFIX, shapes)
    return all(name in shapes for name in Ast.anchors) and rows == columns


AST = Ast()
