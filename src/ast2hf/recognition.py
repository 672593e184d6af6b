"""What a checkpoint is, before anything else: recognised, asked about, or refused. Nothing is guessed.

Names and shapes say most of it. A few values say more: a classifier of ImageNet that is all zeros, a layer norm of ones
and zeros. Where two functions have the same tensors, the user is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ast2hf import places
from ast2hf.config import Config, Variant
from ast2hf.errors import CHOOSE, Choice, InputError, Question, QuestionError, printable
from ast2hf.families import FAMILIES, foreign, heads
from ast2hf.families.base import CLASSIFICATION, MEAN, Family
from ast2hf.mapping.rules import Rule
from ast2hf.places import HEAD, Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ast2hf.checkpoint.state_dict import Checkpoint, StateDict

Values = Callable[[str], "NDArray[Any] | None"]
"""The values of a tensor by its name, without the prefix; None where there is none."""


UNTRAINED = "the classifier was never trained"

_IMAGENET_BIAS = "v.head.bias"
_STARTED = f"{_IMAGENET_BIAS} is not zero: it started from a model of ImageNet, as AST does and SSAST does not"
_NOT_STARTED = f"{_IMAGENET_BIAS} is all zeros: it started from no model of ImageNet, as SSAST does"

_OPTIMIZER = {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "sum"}
"""What torch's optimizers keep of each parameter."""


@dataclass(frozen=True)
class Match:
    """One thing that the checkpoint can be. ``no_head``: why it cannot become a classifier; None where it can."""

    family: Family
    pooling: str
    place: Place
    state_dict: StateDict
    no_head: str | None

    @property
    def head_apart(self) -> bool:
        """Whether its head is a classifier beside the model, and not the model's own."""
        return any(name.startswith(HEAD) for name in self.state_dict.tensors)

    @property
    def values(self) -> Values:
        return lambda name: self.state_dict.values(name) if name in self.state_dict.tensors else None


@dataclass(frozen=True)
class Recognition:
    """``matches``: what it can be, the likeliest first; one where there is no ``question``.

    ``others``: places of the file that were not chosen. ``evidence``: sentences.
    """

    matches: tuple[Match, ...]
    question: Question | None
    evidence: tuple[str, ...]
    others: tuple[Place, ...]

    @property
    def match(self) -> Match:
        """The only one. Raises QuestionError where there are several."""
        if self.question is not None:
            raise QuestionError(self.question)
        return self.matches[0]


def recognise(checkpoint: Checkpoint, config: Config, variant: Variant) -> Recognition:
    """What ``checkpoint`` is, by its tensors.

    And by what was said: key and prefix in ``config``, family and pooling in ``variant``.

    Raises InputError where it is nothing that can be converted, or contradicts what was said.
    """
    every = places.find(checkpoint)
    if not every:
        raise _refusal(checkpoint)
    chosen = _said_family(_said_place(every, config), variant)
    different = places.distinct(chosen)
    others = tuple(place for place in every if place not in different)
    if len(different) > 1:
        matches = [match for place in different for match in _matches(checkpoint, place, variant)]
        return Recognition(tuple(matches), places.question(different), (), others)
    matches, evidence = _weighed(_of_said_bins(list(_matches(checkpoint, different[0], variant)), variant))
    if _alike(matches):
        matches = matches[:1]
    if evidence == [_NOT_STARTED]:
        matches.sort(key=lambda match: match.pooling != MEAN)
    question = _question(matches, evidence) if len(matches) > 1 else None
    return Recognition(tuple(matches), question, tuple(evidence), others)


def require_head(match: Match) -> None:
    """Raise InputError where ``match`` cannot become a classifier."""
    if match.no_head is not None:
        raise InputError(match.no_head, heads.REMEDY)


def _said_place(every: Sequence[Place], config: Config) -> list[Place]:
    """Those of the key and the prefix that ``config`` names."""
    chosen = list(every)
    wanted: tuple[tuple[str, str | None, Callable[[Place], str]], ...] = (
        ("checkpoint_key", config.checkpoint_key, lambda place: place.key),
        ("checkpoint_prefix", config.checkpoint_prefix, lambda place: place.prefix),
    )
    for setting, said, of in wanted:
        if said is None:
            continue
        known = dict.fromkeys(of(place) for place in chosen)
        chosen = [place for place in chosen if of(place) == said]
        if not chosen:
            shown = ", ".join(printable(repr(value), 60) for value in known)
            raise InputError(
                f"the checkpoint has no model under {setting}={printable(said, 60)}", f"there is one under {shown}"
            )
    return chosen


def _said_family(chosen: list[Place], variant: Variant) -> list[Place]:
    """Those that can be of the family that ``variant`` names."""
    if variant.family is None:
        return chosen
    said = FAMILIES[variant.family]
    found = [
        replace(place, families=families, with_head=with_head)
        for place in chosen
        if (families := tuple(f for f in place.families if f is said)) is not None
        and ((with_head := tuple(f for f in place.with_head if f is said)) or families)
    ]
    if not found:
        titles = ", ".join(dict.fromkeys(f.title for place in chosen for f in (*place.families, *place.with_head)))
        raise InputError(
            f"model.family={said.name} says {said.title}, and the checkpoint's tensors are those of {titles}",
            "correct model.family, or leave it out",
        )
    return found


def _matches(checkpoint: Checkpoint, place: Place, variant: Variant) -> Iterator[Match]:
    found = False
    for families, with_head in ((place.families, False), (place.with_head, True)):
        state_dict = checkpoint.select(place.parts(with_head=with_head)) if families else None
        for family in families:
            for pooling in family.poolings:
                if variant.pooling in (None, pooling):
                    assert state_dict is not None
                    found = True
                    yield _match(family, pooling, place, state_dict)
    if not found:
        titles = ", ".join(f"{f.title} ({', '.join(f.poolings)})" for f in (*place.families, *place.with_head))
        raise InputError(
            f"model.pooling={variant.pooling} is not what the checkpoint's family does: {titles}",
            "correct model.pooling, or leave it out",
        )


def _match(family: Family, pooling: str, place: Place, state_dict: StateDict) -> Match:
    match = Match(family, pooling, place, state_dict, None)
    reason = family.heads(pooling, state_dict.shapes)[CLASSIFICATION]
    return replace(match, no_head=reason or _untrained(match))


def _untrained(match: Match) -> str | None:
    """Why the head is no classifier, where its layer norm was never trained."""
    norm = {
        target: rule.sources[0]
        for rule in match.family.table(CLASSIFICATION, match.state_dict.shapes)
        if isinstance(rule, Rule)
        for target in rule.targets
    }
    weight, bias = (match.values(norm.get(f"classifier.layernorm.{part}", "")) for part in ("weight", "bias"))
    if weight is None or bias is None or not heads.untrained(weight, bias):
        return None
    name = norm["classifier.layernorm.weight"].rpartition(".")[0]
    return f"{UNTRAINED}: its layer norm {name} is exactly ones and zeros, which no step of training leaves"


def _of_said_bins(matches: list[Match], variant: Variant) -> list[Match]:
    """Without families that have another number of mel bins than was said, as long as one is left."""
    own = (None, variant.num_mel_bins)
    left = [match for match in matches if getattr(match.family, "num_mel_bins", None) in own]
    return left if left and variant.num_mel_bins is not None else matches


def _weighed(matches: list[Match]) -> tuple[list[Match], list[str]]:
    """Without those that values speak against, as long as one is left; and what was found."""
    evidence: list[str] = []
    started = _imagenet_start(matches[0].values)
    if started is not None and any(MEAN in match.family.poolings for match in matches):
        evidence.append(_STARTED if started else _NOT_STARTED)
    left = [match for match in matches if not (started and MEAN in match.family.poolings)]
    if any(match.head_apart for match in left):
        trained = [match for match in left if not (match.no_head or "").startswith(UNTRAINED)]
        if trained and len(trained) < len(left):
            inside, beside = "in the model", "beside the model"
            where = (inside, beside) if any(match.head_apart for match in trained) else (beside, inside)
            evidence.append(f"{UNTRAINED} {where[0]}; the trained one is {where[1]}")
            left = trained
    return (left or matches), evidence


def _imagenet_start(values: Values) -> bool | None:
    """Whether the model started from one that was trained on ImageNet; None where its classifier is not in the file.

    Its bias is all zeros where the model was built without (timm 0.4.5, vision_transformer.py:337-341), and nothing
    trains it afterwards. AST starts from ImageNet, SSAST does not.
    """
    bias = values(_IMAGENET_BIAS)
    return None if bias is None or not bias.size else bool((bias != 0).any())


def _alike(matches: Sequence[Match]) -> bool:
    """Whether all are one function: the same tensors, pooling and features, whatever the family is called."""
    families, reasons = ({m.family for m in matches}, {m.no_head for m in matches})
    if len(families) == len(reasons) == 1 and reasons != {None}:
        return True  # there is no head, whose input is what a pooling is
    functions = {(match.pooling, match.head_apart) for match in matches}
    return len(functions) == 1 and all(match.family.expressible for match in matches)


def _question(matches: Sequence[Match], evidence: Sequence[str]) -> Question:
    families = list(dict.fromkeys(match.family for match in matches))
    titles = " or ".join(family.title for family in families)
    what = "what its head takes the mean of" if len(families) == 1 else f"which of them it is ({titles})"
    only = len(families) == 1
    found = f" ({'; '.join(evidence)})" if evidence else ""
    return Question(
        f"the tensors fit {'both poolings of ' + titles if only else 'several models'}, and {what} is open{found}",
        tuple(Choice(_override(match, only), _meaning(match)) for match in matches),
        ("" if only else f"model.family={CHOOSE} ") + f"model.pooling={CHOOSE}",
    )


def _override(match: Match, family_known: bool) -> str:
    pooling = f"model.pooling={match.pooling}" if len(match.family.poolings) > 1 else ""
    return pooling if family_known else f"model.family={match.family.name} {pooling}".rstrip()


def _meaning(match: Match) -> str:
    if match.pooling == MEAN:
        return f"{match.family.title} that averages the patches, as SSAST's recipes do (ft_avgtok): encoder only"
    made = "encoder only" if match.no_head else "a classifier"
    apart = " and the classifier apart from it" if match.head_apart else ""
    return f"{match.family.title} with the mean of its two class tokens (ft_cls){apart}: {made}"


def _refusal(checkpoint: Checkpoint) -> InputError:
    """What the file is instead, by its largest state dict."""
    shapes = [
        {name: tensor.shape for name, tensor in candidate.tensors.items()}
        for candidate in sorted(checkpoint.candidates, key=lambda candidate: -len(candidate.tensors))
    ]
    if shapes and all(_is_optimizer(candidate) for candidate in shapes):
        return InputError(
            "the checkpoint is an optimizer state",
            "use the model's file (best_audio_model.pth, not best_optim_state.pth)",
        )
    known = [candidate for candidate in shapes if foreign.find(candidate) is not None]
    return foreign.refusal((known or shapes or [{}])[0], places.almost(checkpoint))


def _is_optimizer(names: Iterable[str]) -> bool:
    return all(name.rpartition(".")[2] in _OPTIMIZER for name in names)
