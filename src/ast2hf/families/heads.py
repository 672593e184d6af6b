"""The classifier of a checkpoint: where it is, whether Hugging Face's AST can express it, whether it was trained.

Hugging Face's head is a layer norm and a linear layer. Dropout between or around them has no tensors and does nothing
at inference, but it takes an index in ``nn.Sequential``, and the file does not record what a missing index was. So a
layer norm without parameters looks the same as dropout; the user has to say whether there is one, and nothing can
check the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ast2hf.errors import ConfigurationError, InputError, printable
from ast2hf.mapping.ops import Filled, Sizes
from ast2hf.mapping.rules import Rule, rename

REMEDY = "convert the encoder alone with model.head=none, and apply the head yourself to its output"

PLAIN = "plain"
NORMS = (PLAIN,)
"""The choices of ``head_norm``: the head's layer norm has no parameters. None: as the tensors show."""

SAY_PLAIN = f"if a layer norm without parameters precedes the linear layer, set model.head_norm={PLAIN}"

_PARAMETERS = {"weight", "bias"}


@dataclass(frozen=True)
class Layout:
    """The names of the two modules of an expressible head, without ``.weight`` and ``.bias``.

    ``norm``: None if it has no parameters and therefore no name.
    """

    norm: str | None
    linear: str


def default(module: str) -> Layout:
    """The layout of the authors' own files: ``module`` is ``nn.Sequential`` of a norm and a linear layer."""
    return Layout(f"{module}.0", f"{module}.1")


def layout(shapes: Mapping[str, Sizes], module: str, head_norm: str | None = None) -> Layout:
    """The layout of the head ``module`` among tensors of ``shapes``. Raises InputError if it cannot be expressed.

    ``head_norm``: one of NORMS, or None.
    """
    require_no_contradiction(shapes, module, head_norm)
    reason = why_not(shapes, module, head_norm)
    if reason is not None:
        raise InputError(reason, remedy(shapes, module))
    *norm, linear = sorted(_parts(shapes, module), key=int)
    return Layout(f"{module}.{norm[0]}" if norm else None, f"{module}.{linear}")


def remedy(shapes: Mapping[str, Sizes], module: str) -> str:
    """What to do if the head ``module`` cannot be expressed."""
    return f"{REMEDY}; {SAY_PLAIN}" if linear_alone(shapes, module) else REMEDY


def linear_alone(shapes: Mapping[str, Sizes], module: str) -> bool:
    """Whether ``module`` is a linear layer preceded by something without tensors, which may be a layer norm."""
    parts = _parts(shapes, module)
    name = next(iter(parts), "")
    if len(parts) != 1 or not (name.isdecimal() and name.isascii()) or int(name) < 1:
        return False
    return set(parts[name]) == _PARAMETERS and len(parts[name]["weight"]) == 2


def require_no_contradiction(shapes: Mapping[str, Sizes], module: str, head_norm: str | None) -> None:
    """Raise ConfigurationError if ``head_norm`` denies that the norm has parameters, but the checkpoint has them."""
    if head_norm == PLAIN and why_not(shapes, module) is None:
        raise ConfigurationError(
            f"model.head_norm={PLAIN} says that the layer norm of the classifier has no parameters, but the checkpoint "
            f"has them ({layout(shapes, module).norm}.*)",
            "leave out model.head_norm",
        )


def why_not(shapes: Mapping[str, Sizes], module: str, head_norm: str | None = None) -> str | None:
    """Why Hugging Face's AST cannot express the head ``module`` among tensors of ``shapes``; None if it can."""
    if head_norm == PLAIN and linear_alone(shapes, module):
        return None
    parts = _parts(shapes, module)
    names = f"{module}.*"
    if not parts:
        return f"the checkpoint has no classifier (no {names})"
    if "" in parts:
        return (
            f"the classifier is a single linear layer ({module}.weight), but that of Hugging Face's AST begins with a "
            "layer norm"
        )
    if any("running_mean" in part for part in parts.values()):
        return f"the classifier ({names}) has a batch norm, but that of Hugging Face's AST has a layer norm"
    if not all(part.isdecimal() and part.isascii() for part in parts):
        shown = printable(next(part for part in parts if not (part.isdecimal() and part.isascii())), 60)
        return (
            f"the classifier ({names}) has a module {shown}, but that of Hugging Face's AST is only a layer norm and a "
            "linear layer"
        )
    ordered = [parts[number] for number in sorted(parts, key=int)]
    kinds = [len(part.get("weight", ())) for part in ordered]
    if kinds == [2] and head_norm == PLAIN:
        if int(next(iter(parts))) < 1:
            return f"nothing precedes the linear layer of the classifier ({names}), so there cannot be a layer norm"
        return f"the linear layer of the classifier ({names}) has parameters other than a weight and a bias"
    if kinds == [2]:
        return (
            f"the classifier ({names}) has a linear layer but no parameters of a layer norm: the file does not say "
            "whether it has one, and Hugging Face's AST always does"
        )
    if kinds.count(2) > 1:
        return f"the classifier ({names}) has {kinds.count(2)} linear layers, but that of Hugging Face's AST has one"
    if kinds != [1, 2] or any(set(part) - _PARAMETERS for part in ordered):
        return f"the classifier ({names}) is not a layer norm followed by a linear layer"
    if any(set(part) != _PARAMETERS for part in ordered):
        return f"a layer of the classifier ({names}) has no bias, but those of Hugging Face's AST always have one"
    first, second = sorted(map(int, parts))
    if second - first > 2:
        return (
            f"{second - first - 1} modules without tensors lie between the norm and the linear layer of the classifier "
            f"({module}.{first}, {module}.{second}), and the file does not say whether one is an activation"
        )
    return None


def untrained(weight: NDArray[Any], bias: NDArray[Any]) -> bool:
    """Whether a layer norm with these values was never trained: exactly ones and zeros, as no training step leaves.

    Its classifier would then give noise.
    """
    return bool((weight == 1).all() and (bias == 0).all())


def table(head: Layout) -> tuple[Rule, ...]:
    """The rules for a head."""
    weight, bias = "classifier.layernorm.weight", "classifier.layernorm.bias"
    if head.norm is None:
        norm = Rule((), (weight,), Filled(1.0), ()), Rule((), (bias,), Filled(0.0), ())
    else:
        norm = rename(f"{head.norm}.weight", weight, ("hidden",)), rename(f"{head.norm}.bias", bias, ("hidden",))
    return (
        *norm,
        rename(f"{head.linear}.weight", "classifier.dense.weight", ("labels", "hidden")),
        rename(f"{head.linear}.bias", "classifier.dense.bias", ("labels",)),
    )


def _parts(shapes: Mapping[str, Sizes], module: str) -> dict[str, dict[str, Sizes]]:
    """The parameters of each part of ``module``, by the part's own name; "" for parameters of ``module`` itself."""
    found: dict[str, dict[str, Sizes]] = {}
    for name, shape in shapes.items():
        if name.startswith(module + "."):
            part, _, parameter = name.removeprefix(module + ".").rpartition(".")
            found.setdefault(part, {})[parameter] = shape
    return found
