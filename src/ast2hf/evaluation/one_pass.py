"""One pass of both models over the clips of a data set, part by part."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch

from ast2hf import device as devices
from ast2hf.config import Data
from ast2hf.errors import InputError, printable
from ast2hf.evaluation.hearing import Heard
from ast2hf.evaluation.listening import Result, listening
from ast2hf.evaluation.pair import ORIGINAL, DataSet, Model, Pair
from ast2hf.evaluation.parts import PART_CLIPS, Clip, Logits, Part, Parts
from ast2hf.progress import CLIPS


def run(data_set: DataSet, pair: Pair, parts: Parts, models: Mapping[str, Model]) -> float | None:
    """Run the missing parts of this shard. Returns clips per second through all models; None if nothing was missing.

    Raises the errors of :func:`ast2hf.evaluation.evaluate.evaluate`.
    """
    settings, source = data_set.settings, data_set.source
    mine = range(settings.shard or 0, len(parts), settings.shards)
    skipped: list[str] = []
    missing: list[int] = []
    for number in mine:
        part = parts.read(number)
        if part is None:
            missing.append(number)
        else:
            skipped += _reasons(part)
    if not missing:
        return None
    total, here = (sum(len(parts.places(number)) for number in numbers) for numbers in (mine, missing))
    examples = (e for places in map(parts.places, missing) for e in source.examples(places.start, places.stop))
    start = time.perf_counter()
    with (
        data_set.progress("data_set", f"Run both models over {total:,} clips", bar=CLIPS) as stage,
        listening(pair.front_ends, _workers(settings, here)) as listen,
    ):
        results = listen(examples)
        done = total - here
        for number in missing:
            stage.progress(done, total)
            part = _hear(itertools.islice(results, len(parts.places(number))), pair, settings, models, parts.labels)
            if len(part.clips) < len(parts.places(number)):
                raise InputError(
                    f"the data set {printable(source.name)} has fewer clips than it stated",
                    "run the command again: the data set changed in the meantime",
                )
            skipped += _reasons(part)
            require_heard(skipped, len(source), settings)
            parts.write(number, part)
            done += len(part.clips)
        stage.progress(done, total)
    return here / (time.perf_counter() - start)


def require_heard(reasons: Iterable[str], total: int, settings: Data) -> None:
    """Raise InputError if more clips than allowed could not be read, for these ``reasons``."""
    skipped = list(reasons)
    if len(skipped) > settings.max_skipped * total:
        raise InputError(
            f"{len(skipped)} of {total:,} clips cannot be read, more than data.max_skipped={settings.max_skipped:g} "
            f"allows, the first: {skipped[0]}",
            "repair the clips or remove them from the data set, or raise data.max_skipped",
        )


def _reasons(part: Part) -> list[str]:
    return [clip.skipped for clip in part.clips if clip.skipped is not None]


def _hear(results: Iterator[Result], pair: Pair, settings: Data, models: Mapping[str, Model], labels: int) -> Part:
    """Run one part. Its batches depend only on its clips and the batch size, not on the shards: the last bits of
    a clip's logits depend on the other clips of its batch."""
    clips: list[Clip] = []
    logits: dict[str, list[Logits]] = {name: [np.empty((0, labels), np.float32)] for name in models}
    heard = (h for h in (_noted(result, clips) for result in results) if h is not None)
    while batch := list(itertools.islice(heard, settings.batch_size)):
        with devices.enough_memory(str(pair.device), _smaller(len(batch))):
            for name, model in models.items():
                features = np.stack([h.original if name == ORIGINAL else h.converted for h in batch])
                on_device = torch.from_numpy(features).to(pair.device, getattr(torch, settings.dtype))
                logits[name].append(model(on_device).float().cpu().numpy())
    return Part(tuple(clips), {name: np.concatenate(batches) for name, batches in logits.items()}, _where(pair.device))


def _smaller(batch: int) -> str | None:
    """A setting that needs less memory than a batch of this size."""
    return f"data.batch_size={batch // 2}" if batch > 1 else None


def _noted(result: Result, clips: list[Clip]) -> Heard | None:
    example, found = result
    if isinstance(found, Heard):
        clips.append(Clip(example.name, example.labels, found.sha256, None, found.changes))
        return found
    clips.append(Clip(example.name, example.labels, found.sha256, found.reason))
    return None


def _workers(settings: Data, clips: int) -> int:
    """The number of processes that decode: as set, else one per thread, and none if the clips fit into one part.

    The threads are those of this job, which may have only a share of the cores.
    """
    if settings.workers is not None:
        return settings.workers
    return torch.get_num_threads() if clips > PART_CLIPS else 0  # so few are done before a process has started


def _where(device: torch.device) -> str:
    """The hardware and threads on which the last bits of logits may depend."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    return device.type
