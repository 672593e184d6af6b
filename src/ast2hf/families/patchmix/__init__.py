"""Patch-Mix contrastive learning of Bae et al. (2023) and its descendants: an AST with its classifier elsewhere.

A file has the encoder under ``model`` and the trained classifier under ``classifier``; here, the latter appears as
``classifier.{0,1}.*`` beside the encoder's names. The encoder's ``mlp_head`` has the right shapes, but was never
trained. The encoder is AST's. It was built with frequency and time exchanged, yet is fed 128 bins; that changes no
token.
"""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families.ast import SIBLING, Ast, has_sibling, square
from ast2hf.families.ast.table import table
from ast2hf.families.base import NO_SHAPES
from ast2hf.families.vit import inside
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Table

_UNTRAINED = "the encoder's built-in classifier, which Patch-Mix does not train; the trained one is beside the encoder"

_SHORT_CLIPS = (
    "the authors of Patch-Mix repeat recordings that are shorter than the input, but the folder's extractor pads them "
    "with zeros: repeat short recordings first"
)
"""Their util/icbhi_util.py, lines 334 and 390 to 398."""

_CITATION = """\
@inproceedings{bae23_interspeech,
  author    = {Sangmin Bae and June-Woo Kim and Won-Yang Cho and Hyerim Baek and Soyoun Son and Byungjo Lee and
               Changwan Ha and Kyongpil Tae and Sungnyun Kim and Se-Young Yun},
  title     = {{Patch-Mix Contrastive Learning with Audio Spectrogram Transformer on Respiratory Sound Classification}},
  booktitle = {Proc. Interspeech 2023},
  year      = {2023},
  eprint    = {2305.14032},
  archivePrefix = {arXiv}
}"""


class PatchMix(Ast):
    """See :class:`ast2hf.families.base.Family`."""

    name = "patchmix"
    title = "Patch-Mix AST"
    citation = _CITATION
    remark = _SHORT_CLIPS
    classifier = SIBLING

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        return square(shapes) and has_sibling(shapes)

    def table(
        self, head: str, shapes: Mapping[str, Sizes] = NO_SHAPES, exact_epsilon: bool = False,
        head_norm: str | None = None,
    ) -> Table:  # fmt: skip
        drops = inside(Ast.classifier, _UNTRAINED, shapes)
        return table(head, shapes, exact_epsilon, classifier=self.classifier, drops=drops, head_norm=head_norm)


PATCH_MIX = PatchMix()
