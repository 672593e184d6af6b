"""The proof over a data set: both models over all of its clips, and the figures that follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ast2hf.config import Data
from ast2hf.errors import InputError, OutputError, printable
from ast2hf.evaluation import metrics, one_pass
from ast2hf.evaluation.gates import FULL
from ast2hf.evaluation.hearing import FrontEnds, Heard
from ast2hf.evaluation.listening import listening
from ast2hf.evaluation.pair import CONVERTED, ORIGINAL, WITH_ORIGINAL_EPSILON, DataSet, Pair
from ast2hf.evaluation.parts import Merged, Parts
from ast2hf.evaluation.source import Source
from ast2hf.results import MAX_ABS_DIFF, Evaluation

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcome:
    """The outcome of a data set. ``evaluation``: None if shards have parts left to do, as ``unfinished`` says.

    ``worst``: the features of the clips of ``evaluation.worst``, from the folder's own extractor, in their order; none
    for a streamed data set, which would have to be downloaded again for them.
    """

    evaluation: Evaluation | None = None
    unfinished: str | None = None
    worst: tuple[NDArray[np.float32], ...] = ()
    notes: tuple[str, ...] = ()


def evaluate(data_set: DataSet, pair: Pair) -> Outcome:
    """Run the missing parts of ``data_set`` that belong to this shard; compute the figures once all parts are done.

    Raises InputError if too many clips cannot be read, a clip has changed or a process is killed, ConfigurationError if
    memory runs out, OutputError if parts cannot be saved, VerificationError if logits are not finite.
    """
    source, settings, labels = data_set.source, data_set.settings, pair.spec.labels
    assert labels is not None
    models = pair.models()
    parts = Parts(data_set.cache / data_set.key, len(source), len(labels), tuple(models))
    rate = one_pass.run(data_set, pair, parts, models)
    done = len(parts.done())
    if done < len(parts):
        if settings.shards == 1:  # nobody else does them: without figures there would be no proof, and no error
            raise OutputError(
                f"{len(parts) - done} of {len(parts)} parts of the data set cannot be read again from "
                f"{printable(parts.folder)}",
                "make sure that nothing empties it during the run, or set paths.cache=… to another folder",
            )
        shard = f"shard {(settings.shard or 0) + 1} of {settings.shards}"
        return Outcome(unfinished=f"{shard}: {done} of {len(parts)} parts are done")
    with parts.merged() as merged:
        one_pass.require_heard(merged.skipped.values(), len(source), settings)
        evaluation = metrics.figures(
            merged.logits[ORIGINAL], merged.logits[CONVERTED], merged.truth,
            clips=merged.names, labels=labels, problem_type=str(pair.spec.problem_type), name=source.name,
            digest=merged.digest, skipped=merged.skipped, batch_size=settings.batch_size, dtype=settings.dtype,
            clips_per_second=rate, with_original_epsilon=merged.logits.get(WITH_ORIGINAL_EPSILON),
        )  # fmt: skip
        places = dict(zip(merged.names, merged.places, strict=True))
        worst = [places[known.clip] for known in evaluation.worst]
        again = () if settings.streaming else sorted(worst)
        features = {place: _features(source, place, parts, pair.front_ends) for place in again}
        notes = tuple(_notes(evaluation, merged, settings, pair))
        return Outcome(evaluation, None, tuple(features[place] for place in worst if features), notes)


def _features(source: Source, place: int, parts: Parts, front_ends: FrontEnds) -> NDArray[np.float32]:
    """Of the clip, heard again. Raises InputError where it is another than its part is of: then others may be, too."""
    with listening(front_ends, 0) as listen:
        ((example, result),) = listen(source.examples(place, place + 1))
    if result.sha256 not in ("", parts.clip(place).sha256):
        raise InputError(
            f"clip {printable(example.name, 100)} was replaced by another of the same size and time",
            f"remove {printable(parts.folder)}, which has the finished parts, and run it again",
        )
    return result.converted if isinstance(result, Heard) else np.empty((0, 0), np.float32)  # it changed


def _notes(evaluation: Evaluation, merged: Merged, settings: Data, pair: Pair) -> Iterator[str]:
    if settings.dtype != FULL:
        yield f"data.dtype={settings.dtype}: the figures over the data set are a screening, not a proof"
    if len(merged.computed) > 1:
        yield (
            f"the parts of the data set were computed in different ways ({'; '.join(sorted(merged.computed))}): the "
            "last bits of the logits may differ from those of a single run"
        )
    for change, count in sorted(merged.changes.items()):
        yield f"{count:,} of {len(merged.names):,} clips {'was' if count == 1 else 'were'} {change}"
    if not evaluation.original_epsilon:
        return
    name, own = evaluation.headline, evaluation.metrics[evaluation.headline]
    same, figure = evaluation.original_epsilon[MAX_ABS_DIFF], evaluation.original_epsilon[name]
    yield (
        f"over the data set, with the folder's layer_norm_eps of {pair.loaded.layer_norm_eps:g} the logits differ by "
        f"up to {evaluation.max_abs_diff:.1e} and its {name} is {_shown(own.converted)}; with the original's epsilon "
        f"of {pair.spec.layer_norm_eps:g} they would differ by up to {_shown(same, '.1e')} and it would be "
        f"{_shown(figure)}; the original has {_shown(own.original)}"
    )


def _shown(value: float | None, form: str = ".6f") -> str:
    return "undefined" if value is None else format(value, form)
