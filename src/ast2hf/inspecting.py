"""Describe a checkpoint and how to convert it, without converting it. Needs neither torch nor a hash of the file."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import built, local_files
from ast2hf.config import Config
from ast2hf.covering import cover, left_over
from ast2hf.errors import CHOOSE, Ast2hfError, Choice, Question
from ast2hf.families import heads
from ast2hf.families.base import CLASSIFICATION
from ast2hf.inspection import Inspection
from ast2hf.matches import Match
from ast2hf.places import key_of
from ast2hf.recognition import Recognition, recognise
from ast2hf.results import NO_HEAD
from ast2hf.settling import Settled, settle

if TYPE_CHECKING:
    from ast2hf.checkpoint.state_dict import Checkpoint
    from ast2hf.progress import Progress

_OPEN = ("frequency_stride", "time_stride", "max_length", "num_positions")
"""Sizes that are unknown while the strides are ambiguous."""

_READINGS = 200
"""The largest number that an inspection keeps."""

_PLAIN = re.compile(r"[\w./~+@%-]+")
"""A value that needs no quotes in an override."""


def inspect_file(config: Config, given: Sequence[str], progress: Progress, program: str = "ast2hf") -> Inspection:
    """Inspect the file that ``config.checkpoint`` names. ``given``: see :func:`inspect`.

    Raises an error if the file cannot be fetched, opened or vetted. A model that cannot be converted is not an error,
    but an inspection with the verdict ``refused``.
    """
    from ast2hf.checkpoint.source import locate
    from ast2hf.checkpoint.state_dict import open_checkpoint
    from ast2hf.families import DEFAULT, FAMILIES

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ast2hf-")))
        cache = local_files.expand(config.paths.cache).absolute()
        synthetic = FAMILIES[config.model.family or DEFAULT.name]
        source = stack.enter_context(
            locate(config.checkpoint, config.model, synthetic, cache, config.download, scratch, progress)
        )
        with progress("read", "Read and vet the checkpoint"):
            checkpoint = stack.enter_context(open_checkpoint(source.path, hashed=False))
        with progress.quiet("inspect"):
            return replace(inspect(checkpoint, config, given, program), file=source.uri)


def override(key: str, value: str) -> str:
    """``key`` and ``value`` as one override, with the quotes that Hydra's grammar needs."""
    if _PLAIN.fullmatch(value):
        return f"{key}={value}"
    escaped = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), value)
    return f'{key}="{escaped}"'


def inspect(checkpoint: Checkpoint, config: Config, given: Sequence[str], program: str = "ast2hf") -> Inspection:
    """Inspect ``checkpoint``. ``given``: the overrides that led to ``config``; the suggested command begins with them.

    A model that cannot be converted raises no error; it is ``refused``.
    """
    found = Inspection(
        "refused", checkpoint.path.name, checkpoint.nbytes, checkpoint.format, opaque=dict(checkpoint.opaque),
        state_dicts={key_of(candidate): len(candidate.tensors) for candidate in checkpoint.candidates},
    )  # fmt: skip
    try:
        recognition = recognise(checkpoint, config, config.model)
        found = _seen(found, checkpoint, recognition)
        return _sized(found, recognition, config, given, program)
    except Ast2hfError as error:
        return replace(found, verdict="refused", reason=error.cause, remedy=error.remedy, command=None)


def _seen(found: Inspection, checkpoint: Checkpoint, recognition: Recognition) -> Inspection:
    """``found`` with what is known about the state dict, whatever its family."""
    match = recognition.matches[0]
    part = match.state_dict.parts[0]
    tensors = match.state_dict.tensors.values()
    families = {m.family for m in recognition.matches}
    one = match if recognition.question is None else None
    return replace(
        found, family=match.family.name if len(families) == 1 else None,
        title=" or ".join(sorted({family.title for family in families})), pooling=one.pooling if one else None,
        keys=part.keys, prefix=part.prefix, tensors=len(tensors), parameters=sum(prod(t.shape) for t in tensors),
        dtypes=dict(Counter(t.dtype for t in tensors)), evidence=recognition.evidence,
        no_head=match.no_head,
    )  # fmt: skip


def _sized(
    found: Inspection, recognition: Recognition, config: Config, given: Sequence[str], program: str
) -> Inspection:
    """``found`` with sizes, leftovers, questions, and the command."""
    match = recognition.matches[0]
    head = NO_HEAD if match.no_head and recognition.question is None else config.model.head
    variant = built.filled(replace(config.model, head=head), match)
    settled = settle(variant, match.family, match.state_dict.shapes, match.values)
    filled = settled.variant
    if settled.strides is not None:
        first = settled.readings[0]
        filled = replace(
            filled, frequency_stride=first.frequency_stride, time_stride=first.time_stride, max_length=first.shortest
        )
    if head == CLASSIFICATION and match.no_head:
        filled = replace(filled, head=NO_HEAD)
    geometry = match.family.geometry(filled, match.state_dict.shapes)
    built.check(match, geometry)
    table = match.family.table(filled.head, match.state_dict.shapes, head_norm=filled.head_norm)
    layers = geometry.num_hidden_layers
    left = left_over(match, table, layers, recognition.others)
    known = {k: v for k, v in geometry.as_dict().items() if settled.strides is None or k not in _OPEN}
    questions = tuple(filter(None, (recognition.question, settled.strides)))
    hints = (heads.SAY_PLAIN,) if match.may_be_plain and config.model.head == CLASSIFICATION else ()
    found = replace(
        found, head=head if recognition.question is None else None, geometry=known,
        readings=tuple(asdict(reading) for reading in settled.readings[:_READINGS]),
        left_over={**left.known, **dict.fromkeys(left.inside), **dict.fromkeys(left.outside)},
        notes=(*settled.notes, *hints),
    )  # fmt: skip
    cover(match, table, layers, geometry.dimensions(), recognition.others, "drop")
    to_choose = (*questions, *_unsaid(found, match, settled, config, bool(left.outside)))
    return replace(
        found, verdict="ambiguous" if questions else "recognised", questions=questions,
        candidates=tuple(choice for question in questions for choice in question.choices),
        command=_command(found, given, to_choose, program), to_choose=to_choose,
    )  # fmt: skip


def _unsaid(found: Inspection, match: Match, settled: Settled, config: Config, unknown: bool) -> Iterator[Question]:
    """Questions that no file can answer and that the user has not answered."""
    yield from settled.unsaid
    if found.head != NO_HEAD and config.labels is None and config.model.labels is None:
        yield Question(
            "the file does not contain the names of the classes",
            (
                Choice("labels=FILE", "a JSON, CSV or text file with one name per class, in the order of the training"),
                Choice("labels=none", "LABEL_0, LABEL_1, …"),
            ),
            f"labels={CHOOSE}",
        )
    if unknown and config.unused is None:
        yield Question(
            "some tensors are not part of the model",
            (Choice("unused=drop", "leave them out, if no result depends on them"),),
            f"unused={CHOOSE}",
        )


def _command(found: Inspection, given: Sequence[str], to_choose: Sequence[Question], program: str) -> str:
    words = [word for word in given if word.lstrip("+") != "task=inspect"]
    words.sort(key=lambda word: not word.startswith("model="))
    said = {word.lstrip("+").partition("=")[0] for word in words}
    if found.head == NO_HEAD and "model.head" not in said:
        words.append(f"model.head={NO_HEAD}")
    words += [word for question in to_choose for word in question.placeholder.split()]
    return " ".join([program, *map(shlex.quote, words)])
