"""The result of an inspection: what a checkpoint is and how to convert it. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ast2hf.errors import Choice, Question

Verdict = Literal["recognised", "ambiguous", "refused"]


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint is, as far as its tensors show.

    ``verdict``: ``recognised``; ``ambiguous`` if only the user can say which of ``candidates`` it is; ``refused``, for
    ``reason``. ``geometry``: the known sizes, by name. ``head``: ``classification`` or ``none``; ``no_head`` says why
    there is no classifier. ``readings``: all strides and lengths that fit the number of tokens. ``left_over``: tensors
    that no part of the model uses, each with the reason why it can be left out, or None. ``opaque``: the kinds of
    objects left unread, with their number. ``command`` converts the file once every CHOOSE in it is replaced by an
    answer from ``to_choose``; None if the file cannot be converted.
    """

    verdict: Verdict
    file: str
    bytes: int
    format: str
    family: str | None = None
    title: str | None = None
    pooling: str | None = None
    head: str | None = None
    no_head: str | None = None
    keys: tuple[str | int, ...] = ()
    prefix: str = ""
    tensors: int = 0
    parameters: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    geometry: Mapping[str, int] = field(default_factory=dict)
    readings: tuple[Mapping[str, int], ...] = ()
    candidates: tuple[Choice, ...] = ()
    questions: tuple[Question, ...] = ()
    reason: str | None = None
    remedy: str | None = None
    evidence: tuple[str, ...] = ()
    left_over: Mapping[str, str | None] = field(default_factory=dict)
    opaque: Mapping[str, int] = field(default_factory=dict)
    state_dicts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    command: str | None = None
    to_choose: tuple[Question, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
