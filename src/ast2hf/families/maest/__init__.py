"""MAEST of Alonso-Jiménez, Serra and Bogdanov (2023), distilled: PaSST for music, with other features.

Only facts are taken from palonso/MAEST a5404c2, because its code is under the AGPL. A model trained with separate heads
is used like the others: the mean of both tokens, and the first head.
"""

from __future__ import annotations

from ast2hf.config import Variant
from ast2hf.families import sizes
from ast2hf.families.front_ends import DescribedFeatures
from ast2hf.families.passt import Passt
from ast2hf.mapping.rules import Drop

_BUFFER = "constant of the front end, which is not part of the model"

_CITATION = """\
@inproceedings{alonso2023efficient,
  author    = {Pablo Alonso-Jim{\\'e}nez and Xavier Serra and Dmitry Bogdanov},
  title     = {{Efficient Supervised Training of Audio Transformers for Music Representation Learning}},
  booktitle = {Proceedings of the International Society for Music Information Retrieval Conference (ISMIR)},
  year      = {2023},
  eprint    = {2309.16418},
  archivePrefix = {arXiv}
}"""


class Maest(Passt):
    """See :class:`ast2hf.families.base.Family`."""

    name = "maest"
    title = "MAEST"
    citation = _CITATION
    num_mel_bins = 96
    lengths: tuple[int, ...] = (316, 626, 1256, 1876)
    drops = (
        Drop("melspectrogram.spec.window", _BUFFER, (512,)),
        Drop("melspectrogram.mel_scale.fb", _BUFFER, (257, 96)),
    )
    published = frozenset((9, columns, labels) for columns in (31, 62, 125, 187) for labels in (400, 519))

    def front_end(self, variant: Variant) -> DescribedFeatures:
        bands = sizes.given(variant, "num_mel_bins")
        return DescribedFeatures(
            sampling_rate=16000,
            num_mel_bins=bands,
            max_length=sizes.given(variant, "max_length"),
            frame_shift_ms=16.0,
            features=f"log10(1 + 10,000 m), where m are {bands} mel bands (Slaney's scale) of a 512-point STFT with a "
            "hop of 256 samples",
            normalisation="(x - 2.06755686) / (2 * 1.26829282)",
            mean=2.06755686,
            std=1.26829282,
            not_expressible="ASTFeatureExtractor computes the natural logarithm of Kaldi's filter bank, with different "
            "windows",
        )


MAEST = Maest()
