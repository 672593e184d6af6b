"""SSAST of Gong, Lai, Chung and Glass (2022), the self-supervised AST, pretrained or fine-tuned by its authors' code.

Two families in one folder. With square patches, its files have AST's names and shapes. With patches of two frames over
all bins ("frame"), the kernel is made square with columns of zeros, which read that many more frames and ignore them.
Its recipes fine-tune with the average of the patches (``ft_avgtok``); its default is the two class tokens (``ft_cls``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ast2hf.config import Variant
from ast2hf.families import heads, sizes, vit
from ast2hf.families.ast import Ast, has_sibling, square
from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.families.ast.table import PREFIX, table
from ast2hf.families.base import AVERAGES_PATCHES, CLASSIFICATION, CLS, MEAN, NO_SHAPES, Values
from ast2hf.families.geometry import Geometry
from ast2hf.mapping.ops import Sizes, ZeroPadded
from ast2hf.mapping.rules import Drop, Rule, Table
from ast2hf.results import NO_HEAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES = 2
"""Frames spanned by a patch of the frame kind, in all published models."""

_SIZES = "spectrogram size used in pretraining"
_MASK = "embedding that replaced masked patches in pretraining"
_TASK = "layer of the pretraining task"

_STORED = {"num_mel_bins": "p_input_fdim", "max_length": "p_input_tdim"}

_PRETRAINING = {
    "p_input_fdim": _SIZES, "p_input_tdim": _SIZES, "mask_embed": _MASK, "cpredlayer": _TASK, "gpredlayer": _TASK,
}  # fmt: skip
"""Prefixes of the tensors left over from pretraining, and why the forward does not need them."""

_CITATION = """\
@inproceedings{gong2022ssast,
  author    = {Yuan Gong and Cheng-I Lai and Yu-An Chung and James Glass},
  title     = {{SSAST: Self-Supervised Audio Spectrogram Transformer}},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume    = {36},
  number    = {10},
  pages     = {10699--10709},
  year      = {2022}
}"""


class Ssast(Ast):
    """Square patches. See :class:`ast2hf.families.base.Family`."""

    name = "ssast"
    title = "SSAST"
    citation = _CITATION
    poolings = (MEAN, CLS)

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        return square(shapes) and not has_sibling(shapes)

    def heads(
        self, pooling: str, shapes: Mapping[str, Sizes], head_norm: str | None = None
    ) -> Mapping[str, str | None]:
        if pretrained(shapes):
            return {CLASSIFICATION: "the checkpoint comes from pretraining and has no classifier", NO_HEAD: None}
        reason = AVERAGES_PATCHES if pooling == MEAN else heads.why_not(shapes, self.classifier, head_norm)
        return {CLASSIFICATION: reason, NO_HEAD: None}

    def table(
        self, head: str, shapes: Mapping[str, Sizes] = NO_SHAPES, exact_epsilon: bool = False,
        head_norm: str | None = None,
    ) -> Table:  # fmt: skip
        return table(
            head, shapes, exact_epsilon,
            classifier=self.classifier, projection=self.projection, drops=_of_pretraining(shapes),
            head_norm=head_norm,
        )  # fmt: skip

    def stored(self, values: Values) -> Mapping[str, int]:
        """The input sizes that pretraining stored."""
        found = {key: values(name) for key, name in _STORED.items()}
        return {key: int(value) for key, value in found.items() if value is not None and _is_size(value)}

    @property
    def projection(self) -> Rule | None:
        """The rule for the kernel, if it is not square."""
        return None


class SsastFrame(Ssast):
    """Patches of FRAMES frames over all bins; Hugging Face's AST only has square ones.

    ``max_length`` and ``time_stride`` of a variant are the authors'; their frequency stride is meaningless, as there is
    only one row.
    """

    name = "ssast_frame"
    title = "SSAST (frame patches)"

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        rows, columns = sizes.kernel(PREFIX, shapes)
        return all(name in shapes for name in self.anchors) and rows > columns == FRAMES

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        return super().geometry(_padded(variant), shapes)

    def front_end(self, variant: Variant) -> KaldiFbank:
        return super().front_end(_padded(variant))

    @property
    def projection(self) -> Rule:
        shape = ("hidden", 1, "patch", FRAMES)
        return Rule((PREFIX + "patch_embed.proj.weight",), (vit.PROJECTION,), ZeroPadded(FRAMES), (shape,))


def pretrained(shapes: Mapping[str, Sizes]) -> bool:
    """Whether ``shapes`` are those of a pretrained SSAST, before any fine-tuning."""
    return "mask_embed" in shapes or "p_input_fdim" in shapes


def _is_size(value: NDArray[Any]) -> bool:
    """Whether it is a single whole number; a file may hold anything under that name."""
    return value.shape == () and float(value).is_integer()


def _of_pretraining(shapes: Mapping[str, Sizes]) -> tuple[Drop, ...]:
    firsts = ((name, name.partition(".")[0], shape) for name, shape in shapes.items())
    return tuple(Drop(name, _PRETRAINING[first], shape) for name, first, shape in firsts if first in _PRETRAINING)


def _padded(variant: Variant) -> Variant:
    """``variant`` in the terms of Hugging Face's AST."""
    bins = sizes.given(variant, "num_mel_bins")
    length = sizes.given(variant, "max_length") + bins - FRAMES
    return replace(variant, patch_size=bins, frequency_stride=bins, max_length=length)


SSAST = Ssast()
SSAST_FRAME = SsastFrame()
