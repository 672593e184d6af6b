"""A conversion as one MLflow run, in plain data: sent at once, or saved next to the report and sent later."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath

from ast2hf.errors import printable
from ast2hf.output.files import write_json
from ast2hf.results import INTERRUPTED, Report
from ast2hf.tracking import description, metrics, provenance

UNSENT = "unsent_record.json"

MAX_PARAM = 6000
"""Characters of a parameter's value; MLflow truncates or rejects longer ones."""


NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run."""

_DIGEST = 16
"""Characters of a SHA-256 that identify an input; MLflow takes up to 36."""

_CUSTOM = "custom"
"""The name of every variant that is not a published one."""

_BEGINNINGS = ("ast-finetuned-", "audioset-")
"""Common beginnings of the published models' names: the list of runs truncates a name after fifteen characters."""


@dataclass(frozen=True)
class ProvedModel:
    """The published folder, its name in the registry, and the SHA-256 of each of its files as they were proved."""

    folder: str
    name: str
    files: dict[str, str]


@dataclass(frozen=True)
class Input:
    """The input of a proof: a clip, or a data set of ``clips``. ``digest``: the beginning of its SHA-256."""

    name: str
    digest: str
    clips: int


@dataclass(frozen=True)
class MlflowRecord:
    """One MLflow run. Times in milliseconds since the epoch; ``metrics``: name, value, step.

    ``key`` identifies the record, so that sending it twice makes one run; ``parent``: the key of its sweep's record;
    ``model``: the model to log with the run; ``inputs``: those of its proof.
    """

    key: str
    name: str
    parent: str | None
    status: str
    started: int
    ended: int
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    tags: dict[str, str]
    artifacts: list[str]
    model: ProvedModel | None = None
    inputs: list[Input] = field(default_factory=list)


def build(
    report: Report,
    name: str,
    started: float,
    *,
    params: Mapping[str, str],
    artifacts: Sequence[Path],
    parent: str | None = None,
    published: Path | None = None,
) -> MlflowRecord:
    """The record of a conversion that has just ended.

    ``name``: of the model, with what distinguishes the job in its sweep; ``started``: seconds since the epoch;
    ``parent``: the key of the sweep's record; ``published``: the folder whose model to log as well, which
    happens only if the proof passed.
    """
    model = ProvedModel(str(published), name, report.files) if published and report.status == "passed" else None
    return MlflowRecord(
        key=uuid.uuid4().hex,
        name=run_name(name, report.source["uri"]),
        parent=parent,
        status="FINISHED" if report.status == "passed" else "KILLED" if report.error == INTERRUPTED else "FAILED",
        started=int(started * 1000),
        ended=int(time.time() * 1000),
        params={key: value[:MAX_PARAM] for key, value in params.items()},
        metrics=list(metrics.of_report(report)),
        tags={**_tags(report), **provenance.tags(), NOTE: description.of_run(report)},
        artifacts=[str(path) for path in artifacts],
        model=model,
        inputs=list(_inputs(report)),
    )


def run_name(name: str, uri: str | None) -> str:
    """``name`` of a model, shortened for the list of runs; a custom model is named after its checkpoint ``uri``."""
    for beginning in _BEGINNINGS:
        name = name.removeprefix(beginning)
    if uri and (name == _CUSTOM or name.startswith(f"{_CUSTOM}_")):
        return printable(PurePath(uri).stem) + name.removeprefix(_CUSTOM)
    return name


def start_parent(axes: Sequence[str]) -> MlflowRecord:
    """The record of a sweep over ``axes`` at its start. If it is never finished, it remains that of a killed sweep."""
    now = int(time.time() * 1000)
    name = f"sweep over {', '.join(axes)}"
    return MlflowRecord(uuid.uuid4().hex, name, None, "KILLED", now, now, {}, [], provenance.tags(), [])


def finish_parent(
    record: MlflowRecord, passed: bool, counts: Mapping[str, float], artifacts: Sequence[Path], table: str
) -> MlflowRecord:
    """The record of a sweep at its end. ``table``: of its jobs, in Markdown."""
    return replace(
        record,
        tags={**record.tags, "status": "passed" if passed else "failed", NOTE: table},
        status="FINISHED" if passed else "FAILED",
        ended=int(time.time() * 1000),
        metrics=[(name, value, 0) for name, value in counts.items()],
        artifacts=[str(path) for path in artifacts],
    )


def save(record: MlflowRecord, run_folder: Path) -> Path:
    """Write the record for sending later; return the path. Raises OutputError."""
    run_folder.mkdir(parents=True, exist_ok=True)  # that of a sweep does not exist before its first job
    path = run_folder / UNSENT
    write_json(path, asdict(record))
    return path


def saved(path: Path) -> MlflowRecord:
    """The record that :func:`save` wrote to ``path``."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    model, inputs = fields.pop("model"), [Input(**known) for known in fields.pop("inputs")]
    return MlflowRecord(**fields, model=ProvedModel(**model) if model else None, inputs=inputs)


def pending(outputs: Path) -> list[Path]:
    """The unsent records under ``outputs``: sweeps before their jobs, oldest first."""
    sweeps, jobs = outputs.glob(f"multiruns/*/{UNSENT}"), outputs.glob(f"multiruns/*/*/{UNSENT}")
    return [*sorted(sweeps), *sorted([*outputs.glob(f"runs/*/{UNSENT}"), *jobs], key=lambda p: p.stat().st_mtime)]


def _tags(report: Report) -> dict[str, str]:
    tags = {f"version.{name}": value for name, value in report.environment.items()}
    known = {"model": report.model, "status": report.status, "family": report.family, "head": report.head}
    known |= {"device": report.device, "dtype": report.dtype, "error": report.error}
    known |= {"pooling": report.pooling, "problem_type": report.problem_type, "clip": report.clip}
    known |= {"first_divergence": report.first_divergence}
    if report.evaluation:  # its dtype is not that of the other checks where it is a screening
        known |= {"data_set": report.evaluation.name, "data_set.dtype": report.evaluation.dtype}
    known |= {f"source.{name}": _text(value) for name, value in report.source.items()}
    return tags | {name: value for name, value in known.items() if value}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _inputs(report: Report) -> Iterator[Input]:
    if report.clip is not None and report.clip_sha256 is not None:
        yield Input(report.clip, report.clip_sha256[:_DIGEST], 1)
    if report.evaluation is not None:
        yield Input(report.evaluation.name, report.evaluation.digest[:_DIGEST], report.evaluation.clips)
