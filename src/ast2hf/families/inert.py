"""Tensors beside a model in a file that its forward does not use, and that may be dropped without asking.

Only known ones, recognised by name; anything else outside the model's prefix is for the user to decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ast2hf.mapping.ops import Sizes


@dataclass(frozen=True)
class Inert:
    """``last`` matches the last part of a dotted name; ``before`` matches one of the parts before it.

    ``axes``: the largest number of axes that such a tensor has; None for any.
    """

    before: re.Pattern[str] | None
    last: re.Pattern[str]
    reason: str
    axes: int | None = None

    def takes(self, name: str, shape: Sizes) -> bool:
        if self.axes is not None and len(shape) > self.axes:
            return False
        *parents, last = name.split(".")
        if not self.last.fullmatch(last):
            return False
        return self.before is None or any(map(self.before.search, parents))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


FILTERS = "fixed filters of a built-in front end; the converted model takes features, so compute them the same way"
_LOSS = "class weights of the training loss"
_METRIC = "state of a training metric"
_COUNTER = "counter of weight averaging"

# fmt: off
# A matrix beside the loss is a classifier: margin losses (ArcFace, CosFace) keep theirs there.
INERT: tuple[Inert, ...] = (
    Inert(_pattern(r"^(mel_?)?spectrogram$"),        _pattern(r"window|fb"),     FILTERS),  # torchaudio
    Inert(_pattern(r"^mel_scale$|^melspectrogram$"), _pattern(r"window|fb"),     FILTERS),
    Inert(_pattern(r"^spectrogram_extractor$"),      _pattern(r"weight|window"), FILTERS),  # torchlibrosa
    Inert(_pattern(r"^logmel_extractor$"),           _pattern(r"melW"),          FILTERS),
    Inert(None,                                      _pattern(r"pos_weight|class_weights?"),      _LOSS, 1),
    Inert(_pattern(r"^(\w+_)?(criterion|loss|loss_fn|loss_func)$"), _pattern(r"weight"),          _LOSS, 1),
    Inert(_pattern(r"metric|acc|auc|auroc|f1|mAP|precision|recall|confusion|confmat|loss"),
          _pattern(r"tp|fp|tn|fn|correct|total|confmat|preds|target|(sum|mean|min|max)_value"),      _METRIC),
    Inert(None,                                      _pattern(r"n_averaged|initted"),                _COUNTER),
)
# fmt: on


def reason(name: str, shape: Sizes) -> str | None:
    """Why the forward is known not to need the tensor ``name`` of ``shape``; None if that is not known."""
    return next((inert.reason for inert in INERT if inert.takes(name, shape)), None)
