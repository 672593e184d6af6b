"""PaSST of Koutini, Schlüter, Eghbal-zadeh and Widmer (2022), distilled: the form of all published models.

Source: kkoutini/PaSST 2a5c818, models/passt.py and models/preprocess.py. The transformer is AST's. Its positions are
the sum of one for each row of frequency and one for each column of time; a shorter input takes the first columns.
Patches are left out in training alone.
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
    """See :class:`ast2hf.families.base.Family`. A family that is built alike is a subclass with other figures.

    ``drops``: tensors that its forward does not use, besides those of PaSST. ``published``: rows, columns and labels of
    its published models where rows alone leave open which family a file is of: 9 are 128 bins at a stride of 14, and 96
    at 10.
    """

    name = "passt"
    title = "PaSST"
    citation = _CITATION
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
        """Whether the sizes are those of a published model of a family that is built alike."""
        labels = shapes.get(f"{table.HEAD}.1.weight", (0,))[:1]
        size = (shapes[table.ROWS][2], shapes[table.COLUMNS][3], *labels)
        kinds: tuple[type[Passt], ...] = (Passt, *Passt.__subclasses__())
        return any(size in kind.published for kind in kinds if kind is not type(self))

    def _frequency_strides(self, shapes: Mapping[str, Sizes]) -> list[int]:
        """Those that give as many rows. The authors count bins // stride; the convolution must come to the same."""
        rows = shapes[table.ROWS][2]
        return [
            stride
            for stride in range(1, PATCH + 1)
            if rows == self.num_mel_bins // stride == (self.num_mel_bins - PATCH) // stride + 1
        ]

    def readings(self, variant: Variant, shapes: Mapping[str, Sizes]) -> tuple[Reading, ...]:
        """Every pair of strides, and the lengths that the authors' count, frames // stride, makes these columns of."""
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
                f"{geometry.max_length} frames are {geometry.time_patches} patches in time, and the checkpoint has "
                f"positions for {available}, which are cut for a shorter input and never stretched for a longer one",
                f"give model.max_length or resize.max_length of at most {longest}, and longer recordings in parts",
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
            features=f"natural logarithm of 1e-5 plus the power in {bands} mel bands from 0 to 15,000 Hz, after a "
            "pre-emphasis of the whole signal; STFT of 1,024, centred, with a window of 800 and a hop of 320 samples "
            "(160 or 100 for the models that are named hop160 and hop100)",
            normalisation="(x + 4.5) / 5",
            mean=-4.5,
            std=2.5,
            not_expressible="ASTFeatureExtractor removes the mean of each frame, and has other edges and another mel "
            "range",
        )

    def reference(
        self, geometry: Geometry, state_dict: Mapping[str, Tensor], pooling: str = CLS, head_norm: str | None = None
    ) -> Callable[[Tensor], Activations]:
        from ast2hf.families.passt import reference  # which imports torch

        return reference.build(geometry, state_dict, pooling, head_norm)


PASST = Passt()
