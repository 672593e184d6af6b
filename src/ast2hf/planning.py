"""Open, recognise and plan a checkpoint: the part of the pipeline that needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ast2hf import built, local_files
from ast2hf.checkpoint import limits
from ast2hf.checkpoint.source import Source, locate
from ast2hf.checkpoint.state_dict import StateDict, open_checkpoint
from ast2hf.config import SINGLE_LABEL, Config, Variant
from ast2hf.covering import cover
from ast2hf.errors import Ast2hfError, ConfigurationError, QuestionError, printable
from ast2hf.families import DEFAULT, FAMILIES, exact, heads, inert, resize
from ast2hf.families.base import CLASSIFICATION
from ast2hf.formats.base import Spec
from ast2hf.labels import Labels
from ast2hf.output import up_to_date
from ast2hf.progress import Progress
from ast2hf.proof import checks
from ast2hf.recognition import Recognition, recognise, require_head
from ast2hf.results import Report
from ast2hf.settling import settle

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A checkpoint, with the specification of the model that it becomes or is compared with."""

    source: Source
    state_dict: StateDict
    spec: Spec


def open_and_plan(
    report: Report, config: Config, variant: Variant, labels: Labels, scratch: Path, stack: ExitStack,
    progress: Progress,
) -> Opened:  # fmt: skip
    """Vet, recognise and plan the checkpoint. Raises QuestionError for what only the user can answer."""
    report.labels = labels.uri
    cache = local_files.expand(config.paths.cache).absolute()
    synthetic = FAMILIES[variant.family or DEFAULT.name]
    source = stack.enter_context(
        locate(config.checkpoint, variant, synthetic, cache, config.download, scratch, progress)
    )
    report.source["uri"] = source.uri
    with progress("read", "Read and vet the checkpoint"):
        checkpoint = stack.enter_context(open_checkpoint(source.path))
    report.source["bytes"] = checkpoint.nbytes
    with progress.quiet("convert"):
        with _deciding(report, "recognition"):
            recognition = recognise(checkpoint, config, variant)
            match = recognition.match
            part = match.state_dict.parts[0]
            report.source |= {"keys": list(part.keys), "prefix": part.prefix}
            if variant.head == CLASSIFICATION:
                require_head(match)
            variant = built.filled(variant, match)
            settled = settle(variant, match.family, match.state_dict.shapes, match.values)
            if settled.questions:
                raise QuestionError(*settled.questions)
        report.checks["recognition"] = checks.planned(
            "recognition", "passed", family=match.family.name, pooling=match.pooling
        )
        note(report, *match.state_dict.notes, *recognition.evidence, *settled.notes)
        spec = _specify(report, config, settled.variant, recognition, labels)
        report.configuration_sha256 = _configuration_hash(report, config, settled.variant, spec, match.state_dict)
    return Opened(source, match.state_dict, spec)


def _specify(report: Report, config: Config, variant: Variant, recognition: Recognition, labels: Labels) -> Spec:
    """The specification for a recognised checkpoint; also recorded in the report."""
    match = recognition.match
    family, shapes = match.family, match.state_dict.shapes
    exact_epsilon = variant.exact_epsilon and variant.head == CLASSIFICATION
    epsilon = exact.HEAD_EPSILON if exact_epsilon else variant.layer_norm_eps
    own = family.geometry(variant, shapes)
    limits.check_layers(own.num_hidden_layers)
    if own.num_labels == 1 and variant.problem_type == SINGLE_LABEL:
        raise ConfigurationError(
            "the model has one class, and the softmax of a single score is always 1", "set loss=bce"
        )
    with _deciding(report, "recognition"):
        built.check(match, own)
    with _deciding(report, "coverage"):
        table = family.table(variant.head, shapes, exact_epsilon, variant.head_norm)
        dimensions, geometry, resizing = own.dimensions(), own, None
        if wanted := {name: size for name, size in asdict(config.resize).items() if size is not None}:
            variant = replace(variant, **wanted)
            geometry = family.geometry(variant, shapes)
            if found := resize.resized(table, own, geometry):
                table, resizing = found
            else:
                dimensions = geometry.dimensions()
        layers = own.num_hidden_layers
        plan, left_out = cover(match, table, layers, dimensions, recognition.others, config.unused)
        match.state_dict.require_floats(plan.apart)
        made = [*plan.targets.values(), *(shapes[name] for name in plan.apart)]
        limits.check_growth(made, match.state_dict.checkpoint.nbytes)
    front_end = family.front_end(variant)
    report.family, report.head, report.pooling = family.name, variant.head, match.pooling
    report.problem_type = variant.problem_type
    report.geometry, report.front_end = geometry.as_dict(), dict(front_end.as_dict())
    report.layer_norm_eps, report.exact_epsilon = epsilon, exact_epsilon
    report.dropped_tensors = {**plan.dropped, **left_out}
    report.head_apart = {name: list(shapes[name]) for name in plan.apart}
    report.checks["coverage"] = checks.planned(
        "coverage", "passed", None,
        source=len(shapes), mapped=len(plan.sources), dropped=len(report.dropped_tensors), written=len(plan.targets),
    )  # fmt: skip
    if built_in := [name for name, why in left_out.items() if why == inert.FILTERS and family.expressible]:
        note(
            report,
            f"the checkpoint has a front end of its own ({printable(built_in[0], 100)}): the folder's extractor was "
            "proved against AST's front end, not against this one; if they differ, compute the features as in training",
        )
    if family.remark is not None:
        note(report, family.remark)
    if resizing is not None:
        report.resized = resizing.as_dict()
        note(report, f"not equal to the source: positions are resized ({resize.RULE})")
    elif geometry != own:
        note(report, f"{geometry.max_length} frames use the first positions in time, as the original's forward does")
    if variant.head_norm == heads.PLAIN and variant.head == CLASSIFICATION:
        who = "model.head_norm=plain" if config.model.head_norm else "the pickled model"
        note(report, f"the classifier's layer norm has no parameters, according to {who}: written as ones and zeros")
    if variant.exact_epsilon and not exact_epsilon:
        note(report, "model.exact_epsilon has no effect on an encoder alone, which has only one epsilon")
    classes = None if geometry.num_labels is None else labels.for_classes(geometry.num_labels)
    return Spec(
        family, variant.head, geometry, plan, front_end, classes, variant.problem_type, epsilon, match.pooling,
        exact_epsilon, plan.apart, resizing, variant.head_norm,
    )  # fmt: skip


@contextmanager
def _deciding(report: Report, name: str) -> Iterator[None]:
    """Record in the report that the check ``name`` failed, if an error is raised."""
    try:
        yield
    except Ast2hfError as error:
        report.checks[name] = checks.planned(name, "failed", error.cause)
        raise


def identify(report: Report, opened: Opened, progress: Progress) -> None:
    with progress.quiet("read"):  # the hash was computed in the meantime; any time still spent on it counts as reading
        report.source["sha256"] = opened.state_dict.checkpoint.sha256
    opened.source.check(opened.state_dict.checkpoint.sha256)


def _configuration_hash(
    report: Report, config: Config, variant: Variant, spec: Spec, state_dict: StateDict
) -> str:  # fmt: skip
    """A hash of everything that decides what is written and how it is proved, but not of sources and destinations.

    A file can hold several models, so it has to say which one of them was converted.
    """
    model = asdict(replace(variant, family=spec.family.name, pooling=spec.pooling))
    del model["url"], model["sha256"], model["name"]
    packages = ("ast2hf", "torch", "torchaudio", "transformers", "safetensors")
    return up_to_date.configuration_hash(
        {
            "model": model, "parts": [[part.keys, part.prefix, part.rename] for part in state_dict.parts],
            "resize": asdict(config.resize), "labels": spec.labels, "audio": config.audio,
            "license": config.license, "device": report.device, "dtype": report.dtype, "verify": asdict(config.verify),
            "data": {key: value for key, value in asdict(config.data).items() if key not in ("workers", "streaming")},
            "environment": {name: report.environment[name] for name in packages},
        }
    )  # fmt: skip


def note(report: Report, *texts: str) -> None:
    for text in texts:
        log.info("note: %s", text)
        report.notes.append(text)
