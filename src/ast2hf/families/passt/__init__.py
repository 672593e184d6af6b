"""PaSST of Koutini, Schlüter, Eghbal-zadeh and Widmer (2022), distilled, as in all published models.

Source: kkoutini/PaSST 2a5c818, models/passt.py and models/preprocess.py. The transformer is AST's. Each position is the
sum of one embedding per frequency row and one per time column; a shorter input uses the first columns. Patches are
dropped only in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError
from ast2hf.families import heads, sizes
from ast2hf.families.base import CLASSIFICATION, CLS, NO_SHAPES, Activations, Values
from ast2hf.families.front_ends import DescribedFeatures
from ast2hf.families.geometry import Geometry
from ast2hf.families.passt import table
from ast2hf.families.readings import Reading
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.rules import Drop, Table
from ast2hf.results import NO_HEAD

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 16
"""Side of a patch in all models of this kind."""

_CITATION = """\
@inproceedings{koutini22_interspeech,
  author    = {Khaled Koutini and Jan Schl{\\"u}ter and Hamid Eghbal-zadeh and Gerhard Widmer},
  title     = {{Efficient Training of Audio Transformers with Patchout}},
  booktitle = {Proc. Interspeech 2022},
  pages     = {2753--2757},
  year      = {2022},
  doi       = {10.21437/Interspeech.2022-227}
}"""


class Passt:
    """See :class:`ast2hf.families.base.Family`. A family with the same structure is a subclass with other sizes.

    ``drops``: tensors that its forward does not use, besides those of PaSST. ``published``: rows, columns and labels of
    its published models, for cases in which the rows alone do not identify the family: 9 rows come from 128 bins at a
    stride of 14, but also from 96 bins at 10.
    """

    name = "passt"
    title = "PaSST"
    citation = _CITATION
    remark: str | None = None
    anchors = (table.TOKENS, table.ROWS, table.COLUMNS, "dist_token", "patch_embed.proj.weight")
    classifier = table.HEAD
    poolings: tuple[str, ...] = (CLS,)
    expressible = False
    num_mel_bins: int = 128
    lengths: tuple[int, ...] = (998, 2000, 3000)
    drops: tuple[Drop, ...] = ()
    published = frozenset({(9, 71, 527)})

    def fits(self, shapes: Mapping[str, Sizes]) -> bool:
        if not all(name in shapes for name in self.anchors):
            return False
        if tuple(len(shapes[name]) for name in (table.TOKENS, table.ROWS, table.COLUMNS)) != (3, 4, 4):
            return False
        sums = shapes[table.TOKENS][1] == 2 and shapes[table.ROWS][3] == 1 == shapes[table.COLUMNS][2]
        square = shapes["patch_embed.proj.weight"][2:] == (PATCH, PATCH)
        return sums and square and bool(self._frequency_strides(shapes)) and not self._of_another(shapes)

    def _of_another(self, shapes: Mapping[str, Sizes]) -> bool:
        """Whether the sizes are those of a published model of another family with the same structure."""
        labels = shapes.get(f"{table.HEAD}.1.weight", (0,))[:1]
        size = (shapes[table.ROWS][2], shapes[table.COLUMNS][3], *labels)
        kinds: tuple[type[Passt], ...] = (Passt, *Passt.__subclasses__())
        return any(size in kind.published for kind in kinds if kind is not type(self))

    def _frequency_strides(self, shapes: Mapping[str, Sizes]) -> list[int]:
        """Those that give this number of rows, both by the authors' count (bins // stride) and by the convolution."""
        rows = shapes[table.ROWS][2]
        return [
            stride
            for stride in range(1, PATCH + 1)
            if rows == self.num_mel_bins // stride == (self.num_mel_bins - PATCH) // stride + 1
        ]

    def readings(self, variant: Variant, shapes: Mapping[str, Sizes]) -> tuple[Reading, ...]:
        """Every pair of strides, with the lengths for which the authors' count, frames // stride, gives the columns."""
        rows, columns = shapes[table.ROWS][2], shapes[table.COLUMNS][3]
        return tuple(
            Reading(frequency, time, rows, columns, columns * time, columns * time + PATCH - 1, cut=True)
            for frequency in self._frequency_strides(shapes)
            for time in range(1, PATCH + 1)
        )

    def stored(self, values: Values) -> Mapping[str, int]:
        return {}

    def heads(
        self, pooling: str, shapes: Mapping[str, Sizes], head_norm: str | None = None
    ) -> Mapping[str, str | None]:
        return {CLASSIFICATION: heads.why_not(shapes, table.HEAD, head_norm), NO_HEAD: None}

    def geometry(self, variant: Variant, shapes: Mapping[str, Sizes]) -> Geometry:
        geometry = sizes.geometry(variant, shapes, prefix="", head=table.HEAD)
        available = shapes[table.COLUMNS][3] if table.COLUMNS in shapes else geometry.time_patches
        if geometry.time_patches > available:
            longest = PATCH - 1 + available * geometry.time_stride
            raise ConfigurationError(
                f"{geometry.max_length} frames make {geometry.time_patches} patches in time, but the checkpoint has "
                f"positions for only {available}, which can be cut for a shorter input but not stretched",
                f"set model.max_length or resize.max_length to at most {longest}, and split longer recordings",
            )
        return geometry

    def table(
        self, head: str, shapes: Mapping[str, Sizes] = NO_SHAPES, exact_epsilon: bool = False,
        head_norm: str | None = None,
    ) -> Table:  # fmt: skip
        return table.table(head, shapes, exact_epsilon, self.drops, head_norm)

    def front_end(self, variant: Variant) -> DescribedFeatures:
        bands = sizes.given(variant, "num_mel_bins")
        return DescribedFeatures(
            sampling_rate=32000,
            num_mel_bins=bands,
            max_length=sizes.given(variant, "max_length"),
            frame_shift_ms=10.0,
            features=f"natural logarithm of 1e-5 plus the power in {bands} mel bands from 0 to 15,000 Hz, after "
            "pre-emphasis of the whole signal; centred 1,024-point STFT with a window of 800 and a hop of 320 samples "
            "(160 or 100 for the models named hop160 and hop100)",
            normalisation="(x + 4.5) / 5",
            mean=-4.5,
            std=2.5,
            not_expressible="ASTFeatureExtractor removes the mean of each frame, and has different edges and a "
            "different mel range",
        )

    def reference(
        self, geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str = CLS, head_norm: str | None = None
    ) -> Callable[[Tensor], Activations]:
        from ast2hf.families.passt import reference  # which imports torch

        return reference.build(geometry, state_dict, pooling, head_norm)


PASST = Passt()
