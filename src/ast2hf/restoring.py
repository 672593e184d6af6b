"""Back to the authors' layout: write a model folder, as converted or fine-tuned since, as a file that their code loads.

This is the reverse conversion, with the same table and the same proof: the file is read again, and the original model
with its weights is compared with the model that transformers loads from the folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ast2hf import hub_download, local_files
from ast2hf.checkpoint import limits, second_reading
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, InputError, OutputError, printable
from ast2hf.families import DEFAULT, FAMILIES, exact
from ast2hf.families.base import CLS, POOLINGS, Family
from ast2hf.families.geometry import Geometry
from ast2hf.formats import original
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface import HUGGING_FACE, config, names
from ast2hf.mapping.ops import Sizes
from ast2hf.mapping.plan import make_plan
from ast2hf.mapping.rules import Drop, Rule, Table, expand, sizes
from ast2hf.output import up_to_date
from ast2hf.planning import note
from ast2hf.progress import Progress
from ast2hf.proof import checks
from ast2hf.results import NO_HEAD, SYNTHETIC_FEATURES, Conversion, Report

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ast2hf.proof.evidence import Evidence

_SHOWN = 20
"""The number of tensors that a note names."""

RESTORED = "a restored checkpoint is proved on the features of the model alone"


def restore(conversion: Conversion, settings: Config, device: torch.device, progress: Progress) -> None:
    """Write ``checkpoint=`` from ``folder=``, or nothing. Raises InputError, OutputError, VerificationError."""
    report = conversion.report
    target = local_files.expand(str(settings.checkpoint)).absolute()
    if local_files.is_there(target) and not settings.overwrite:
        raise OutputError(
            f"{printable(target)} already exists", "set another checkpoint=…, or overwrite=true to replace it"
        )
    with ExitStack() as stack:
        with progress.quiet("inputs"):
            wanted = (*names.ALL_MODEL_FILES, names.REPORT)
            folder = hub_download.model_folder(str(settings.folder), wanted)
            local = local_files.is_folder(local_files.expand(str(settings.folder)))
            report.model = folder.absolute().name if local else str(settings.folder).rpartition("/")[2]
            report.source |= {"uri": folder.name if local else settings.folder, **_identity(folder / names.WEIGHTS)}
            spec = _spec(report, settings, folder)
        with progress("convert", f"Restore {len(spec.plan.sources)} tensors"):
            tensors = _tensors(folder, spec)
        if settings.dry_run:
            return
        with original.written(target, tensors) as path:
            checkpoint = stack.enter_context(open_checkpoint(path))
            written = second_reading.load(checkpoint.select([Part((), original.PREFIX)]))
            _prove(conversion, settings, spec, folder, written, device, progress)
        _note_left_out(report, spec, _report_before(folder), written)
    conversion.restored = target


def _spec(report: Report, settings: Config, folder: Path) -> Spec:
    """The specification from which ``folder`` was, or could have been, made."""
    before = _report_before(folder)
    family = _family(settings, before)
    head, geometry, epsilon = HUGGING_FACE.head(folder), config.read_geometry(folder), config.read_epsilon(folder)
    limits.check_layers(geometry.num_hidden_layers)
    exact_epsilon = epsilon == exact.HEAD_EPSILON
    table = family.table(head, exact_epsilon=exact_epsilon)
    shapes = _shapes(table, geometry)
    plan = make_plan(table, geometry.num_hidden_layers, geometry.dimensions(), shapes)
    pooling = settings.model.pooling or before.get("pooling") or CLS
    if pooling not in POOLINGS:
        raise InputError(
            f"{names.REPORT} of {printable(folder.name)} has the unknown pooling {printable(pooling, 60)}",
            f"set model.pooling to one of: {', '.join(POOLINGS)}",
        )
    report.family, report.head, report.pooling, report.geometry = family.name, head, pooling, geometry.as_dict()
    report.layer_norm_eps, report.exact_epsilon = epsilon, exact_epsilon
    report.checks["recognition"] = checks.planned("recognition", "passed", family=family.name)
    variant = replace(
        settings.model, max_length=geometry.max_length, num_mel_bins=geometry.num_mel_bins, mean=0.0, std=1.0
    )
    return Spec(
        family, head, geometry, plan, family.front_end(variant), HUGGING_FACE.labels(folder),
        config.read_problem_type(folder), exact.HEAD_EPSILON if exact_epsilon else exact.BLOCK_EPSILON, pooling,
        exact_epsilon,
    )  # fmt: skip


def _report_before(folder: Path) -> dict[str, Any]:
    """The report of the conversion that made ``folder``; empty if transformers saved it elsewhere."""
    return config.read(folder, names.REPORT) if (folder / names.REPORT).exists() else {}


def _identity(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{printable(path.parent.name)} has no {path.name}",
            "save the model with save_pretrained(folder, max_shard_size='100GB'), which writes one safetensors file",
        )
    return {"bytes": path.stat().st_size, "sha256": up_to_date.file_hashes(path.parent, [path.name])[path.name]}


def _family(settings: Config, before: dict[str, Any]) -> Family:
    name = before.get("family") or settings.model.family or DEFAULT.name
    if type(name) is not str or name not in FAMILIES or FAMILIES[name].classifier != DEFAULT.classifier:
        raise ConfigurationError(
            f"models of the family {printable(name, 60)} cannot be restored: their files are not a single state dict "
            "like AST's",
            "restore a model of one of the families ast, ssast and ssast_frame",
        )
    return FAMILIES[name]


def _shapes(table: Table, geometry: Geometry) -> dict[str, Sizes]:
    """The shapes of the tensors that the original would have."""
    dimensions = geometry.dimensions()
    return {
        name: sizes(shape, dimensions)
        for rule in expand(table, geometry.num_hidden_layers)
        if isinstance(rule, Rule)
        for name, shape in zip(rule.sources, rule.shapes, strict=True)
    }


def _tensors(folder: Path, spec: Spec) -> dict[str, Tensor]:
    """The original's tensors by name, in float32. Raises InputError if the folder's tensors do not fit its model."""
    import torch

    with HUGGING_FACE.tensors(folder) as file:
        found, expected = set(file.keys()), spec.plan.targets
        if found != expected.keys():
            name = min(found ^ expected.keys())
            has, should = ("has", "does not have") if name in found else ("lacks", "has")
            raise InputError(
                f"{printable(folder.name)} {has} {printable(name, 100)}, which a model of its configuration {should}",
                "use the complete folder as save_pretrained() wrote it",
            )
        for name, shape in expected.items():
            if (own := tuple(file.get_tensor(name).shape)) != shape:
                raise InputError(
                    f"{name} of {printable(folder.name)} has shape {list(own)}, but its configuration requires "
                    f"{list(shape)}",
                    "use the folder as save_pretrained() wrote it",
                )
        tensors = dict(spec.plan.undone().tensors(lambda name: file.get_tensor(name).to(torch.float32)))
    if spec.head == NO_HEAD and (folder / names.HEAD).exists():
        with HUGGING_FACE.head_apart(folder) as head:
            tensors |= {name: head.get_tensor(name) for name in head.keys()}  # noqa: SIM118  not a mapping
    return tensors


def _prove(
    conversion: Conversion, settings: Config, spec: Spec, folder: Path, tensors: dict[str, Tensor],
    device: torch.device, progress: Progress,
) -> None:  # fmt: skip
    from ast2hf import device as devices
    from ast2hf.proof.evidence import Evidence
    from ast2hf.proof.prove import prove

    report = conversion.report
    report.checks["coverage"] = checks.planned(
        "coverage", "passed", source=len(spec.plan.targets), mapped=len(spec.plan.targets), written=len(tensors)
    )
    report.clip = SYNTHETIC_FEATURES
    evidence = Evidence(
        spec, HUGGING_FACE, folder, tensors, None, device, None, "the published logits are of another file",
        not_heard=RESTORED, restored=True, every_attention=settings.verify.attention == "all",
    )  # fmt: skip
    with devices.enough_memory(str(device)), devices.full_precision(), progress("verify", f"Prove it on {device}"):
        with evidence.loaded.with_epsilon(spec.layer_norm_eps):
            prove(conversion, evidence, settings.verify.tolerances)
        _note_epsilon(report, spec, evidence)


def _note_left_out(report: Report, spec: Spec, before: Mapping[str, Any], written: Collection[str]) -> None:
    """Note the tensors that the authors' class or the source has, but the restored file has not."""
    said = before.get("dropped_tensors")
    of_the_class = [rule.source for rule in spec.family.table(spec.head) if isinstance(rule, Drop)]
    names = [n for n in dict.fromkeys([*of_the_class, *(said if isinstance(said, dict) else ())]) if n not in written]
    shown = [printable(name, 100) for name in names[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    note(report, f"not in the folder, so not in the file ({', '.join(shown)}{more}): load it with strict=False")


def _note_epsilon(report: Report, spec: Spec, evidence: Evidence) -> None:
    if evidence.loaded.layer_norm_eps != spec.layer_norm_eps:
        own, reference = evidence.loaded(evidence.features.to(evidence.device)), evidence.reference
        apart = (own.pooled - reference.pooled).abs().max().item()
        note(
            report,
            f"proved with the original's epsilon of {spec.layer_norm_eps:g}; with its own of "
            f"{evidence.loaded.layer_norm_eps:g} the folder's pooled output differs by {apart:.1e}",
        )
