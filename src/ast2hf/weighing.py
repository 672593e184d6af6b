"""Narrow down the matches of one state dict by its values, and ask about the rest."""

from __future__ import annotations

from collections.abc import Sequence

from ast2hf.config import Variant
from ast2hf.errors import CHOOSE, Choice, Question, printable
from ast2hf.families.base import MEAN, Values
from ast2hf.matches import UNTRAINED, Match
from ast2hf.places import key_of

_IMAGENET_BIAS = "v.head.bias"
_IMAGENET_CLASSES = 1000
_STARTED = f"{_IMAGENET_BIAS} is not zero, so it started from an ImageNet model, as AST does and SSAST does not"
_NOT_STARTED = f"{_IMAGENET_BIAS} is all zeros, so it did not start from an ImageNet model, as is the case with SSAST"


def weigh(matches: list[Match], variant: Variant) -> tuple[list[Match], Question | None, list[str]]:
    """The remaining ``matches``, the likeliest first; the question, if several remain; and the evidence."""
    left, evidence = _weighed(_of_said_bins(matches, variant))
    if _alike(left):
        left = left[:1]
    if evidence == [_NOT_STARTED]:
        left.sort(key=lambda match: match.pooling != MEAN)
    return left, _question(left, evidence) if len(left) > 1 else None, evidence


def _of_said_bins(matches: list[Match], variant: Variant) -> list[Match]:
    """Without families whose number of mel bins differs from the user's, unless that leaves none."""
    own = (None, variant.num_mel_bins)
    left = [match for match in matches if match.family.num_mel_bins in own]
    return left if left and variant.num_mel_bins is not None else matches


def _weighed(matches: list[Match]) -> tuple[list[Match], list[str]]:
    """Without those that the values speak against, unless that leaves none; and the evidence."""
    evidence: list[str] = []
    started = _imagenet_start(matches[0].values)
    if started is not None and any(MEAN in match.family.poolings for match in matches):
        evidence.append(_STARTED if started else _NOT_STARTED)
    left = [match for match in matches if not (started and MEAN in match.family.poolings)]
    trained = [match for match in left if not (match.no_head or "").startswith(UNTRAINED)]
    if any(match.head_apart for match in left) and 0 < len(trained) < len(left):
        apart, head = any(match.head_apart for match in trained), matches[0].place.unnamed_head
        untrained, other = ("in the model", "beside the model") if apart else ("beside the model", "in the model")
        if apart and head is not None:
            evidence.append(f"{UNTRAINED} {untrained}; {printable(key_of(head), 60)} has the shapes of one")
        else:
            evidence.append(f"{UNTRAINED} {untrained}; the trained one is {other}")
            left = trained
    return (left or matches), evidence


def _imagenet_start(values: Values) -> bool | None:
    """Whether the model started from one trained on ImageNet; None if the ImageNet classifier is not in the file.

    Its bias is all zeros if the model was built without pretraining (timm 0.4.5, vision_transformer.py:337-341), and
    nothing trains it afterwards. AST starts from ImageNet, SSAST does not. A classifier of another size is not
    ImageNet's.
    """
    bias = values(_IMAGENET_BIAS)
    return None if bias is None or bias.shape != (_IMAGENET_CLASSES,) else bool((bias != 0).any())


def _alike(matches: Sequence[Match]) -> bool:
    """Whether all are the same function: the same tensors, pooling and features, whatever the family is called."""
    families, reasons = ({m.family for m in matches}, {m.no_head for m in matches})
    if len(families) == len(reasons) == 1 and reasons != {None}:
        return True  # without a head, the pooling does not matter
    functions = {(match.pooling, match.head_apart) for match in matches}
    return len(functions) == 1 and all(match.family.expressible for match in matches)


def _question(matches: Sequence[Match], evidence: Sequence[str]) -> Question:
    families = list(dict.fromkeys(match.family for match in matches))
    titles = " or ".join(family.title for family in families)
    only = len(families) == 1
    fits = f"both poolings of {titles}" if only else f"several models ({titles})"
    what = "which tokens its head averages" if only else "which one it is"
    found = f" ({'; '.join(evidence)})" if evidence else ""
    pooled = any(len(family.poolings) > 1 for family in families)
    return Question(
        f"the tensors fit {fits} and do not show {what}{found}",
        tuple(
            Choice(_settings(None if only else match.family.name, match.pooling if pooled else None), _meaning(match))
            for match in matches
        ),
        _settings(None if only else CHOOSE, CHOOSE if pooled else None),
    )


def _settings(family: str | None, pooling: str | None) -> str:
    """Every answer gives the same settings, so that each CHOOSE of the command has one."""
    given = {"model.family": family, "model.pooling": pooling}
    return " ".join(f"{key}={value}" for key, value in given.items() if value is not None)


def _meaning(match: Match) -> str:
    if match.pooling == MEAN:
        return f"{match.family.title} averaging its patches, as SSAST's recipes do (ft_avgtok): encoder only"
    made = "encoder only" if match.no_head else "a classifier"
    apart = ", with the separate classifier" if match.head_apart else ""
    return f"{match.family.title} averaging its two class tokens (ft_cls){apart}: {made}"
