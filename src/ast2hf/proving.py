"""The proof of a planned conversion: its clip, the second reading of the checkpoint, and the work during imports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import device as devices
from ast2hf import local_files
from ast2hf.checkpoint.source import Source
from ast2hf.config import Config, ExpectedLogits
from ast2hf.evaluation.source import Source as Clips
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface import HUGGING_FACE
from ast2hf.labels import NONE
from ast2hf.output import up_to_date
from ast2hf.planning import Opened, note
from ast2hf.progress import Progress
from ast2hf.proof import checks
from ast2hf.results import SYNTHETIC_FEATURES, Conversion, Report

if TYPE_CHECKING:
    from ast2hf.audio import Clip
    from ast2hf.evaluation.pair import DataSet
    from ast2hf.proof.evidence import Evidence


def import_and_load_clip(report: Report, config: Config, spec: Spec, progress: Progress) -> Clip | None:
    """The clip of the proof; None if the folder has no feature extractor for it."""
    with progress.importing("Import torch"):
        from ast2hf.proof import prove  # noqa: F401  timed here, and not as part of the proof
    if not spec.family.expressible:
        report.clip = SYNTHETIC_FEATURES
        if config.audio is not None:
            note(report, "audio= is not used: the folder has no feature extractor")
        return None
    with progress.quiet("inputs"):
        from ast2hf.audio import load_clip

        cache = local_files.expand(config.paths.cache).absolute()
        clip = load_clip(config.audio, config.model, cache)
    report.clip, report.clip_sha256 = clip.uri, clip.sha256
    note(report, *clip.notes)
    return clip


def open_data_set(report: Report, config: Config, spec: Spec) -> Clips | None:
    """The clips of the data set, labels matched with those of ``spec``; None if none was chosen or the folder
    has no extractor or no head.

    The hash of the configuration in ``report`` then stands for them, too: a folder that was proved over others is not
    up to date. Raises InputError, DownloadError, ConfigurationError.
    """
    if config.data.kind is None or spec.labels is None or not spec.family.expressible:
        return None
    from ast2hf.evaluation.opening import open_source

    source = open_source(config.data, spec.labels, None if config.labels == NONE else config.labels)
    report.configuration_sha256 = up_to_date.configuration_hash(
        {"configuration": report.configuration_sha256, "clips": source.fingerprint}
    )
    note(report, *source.notes)
    return source


def prove(
    conversion: Conversion, config: Config, opened: Opened, folder: Path, clip: Clip | None, clips: Clips | None,
    progress: Progress, *, to_the_end: bool = False,
) -> None:  # fmt: skip
    """Prove ``folder`` against what ``opened`` holds, read a second time. ``to_the_end``: as in proof.prove.

    ``clips``: of the data set. Raises VerificationError, the errors of ast2hf.evaluation.evaluate, or InputError if
    the checkpoint changed in the meantime.
    """
    import torch

    from ast2hf.checkpoint import second_reading
    from ast2hf.proof.evidence import Evidence
    from ast2hf.proof.prove import prove as make_checks

    device = str(conversion.report.device)
    expected, reason = _expected_logits(config, opened.source, clip)
    with (
        devices.enough_memory(device),
        devices.full_precision(),
        opened.state_dict.checkpoint.watch.unchanged() as all_read,
    ):
        with progress.quiet("verify"):
            original = second_reading.load(opened.state_dict)
        all_read()
        evidence = Evidence(
            opened.spec, HUGGING_FACE, folder, original, clip, torch.device(device), expected, reason,
            every_attention=config.verify.attention == "all",
            data_set=_data_set(conversion.report, config, opened.spec, folder, clips, progress),
        )  # fmt: skip
        with evidence.ahead() as begin:
            with progress.importing("Import transformers"):
                _import_beside(evidence, begin)
            try:
                with progress("verify", f"Prove it on {device}"):
                    make_checks(conversion, evidence, config.verify.tolerances, to_the_end=to_the_end)
            finally:
                note(conversion.report, *(evidence.evaluated.notes if evidence.evaluated else ()))


def _data_set(
    report: Report, config: Config, spec: Spec, folder: Path, clips: Clips | None, progress: Progress
) -> DataSet | None:
    """``clips`` with everything that the logits of both models depend on."""
    if clips is None:
        return None
    from ast2hf.evaluation.pair import DataSet

    names = [name for name in HUGGING_FACE.model_files(spec) if (folder / name).exists()]
    packages = ("torch", "torchaudio", "transformers", "numpy")
    key = up_to_date.configuration_hash(
        {
            "clips": [clips.fingerprint, len(clips)], "labels": spec.labels,
            "files": up_to_date.file_hashes(folder, names),
            "source": {name: report.source[name] for name in ("sha256", "keys", "prefix")},
            "family": spec.family.name, "pooling": spec.pooling, "head_norm": spec.head_norm,
            "geometry": spec.geometry.as_dict(), "front_end": dict(spec.front_end.as_dict()),
            "epsilon": spec.layer_norm_eps, "resized": report.resized,
            "data": {name: value for name, value in asdict(config.data).items() if name in ("dtype", "batch_size")},
            "device": str(report.device).partition(":")[0],
            "environment": {name: report.environment[name] for name in packages},
        }
    )  # fmt: skip
    cache = local_files.expand(config.paths.cache).absolute() / "evaluations"
    return DataSet(clips, config.data, cache, key, progress)


def _import_beside(evidence: Evidence, begin: Callable[[str], None]) -> None:
    """Import transformers while the original computes; first the extractor, whose features the original also needs."""
    if "end_to_end" in checks.CHECKS:
        begin("original_end_to_end")
    from ast2hf.formats.huggingface import extraction  # noqa: F401

    with suppress(Exception):  # the check that needs the features raises it again
        begin("reference")
    from ast2hf.formats.huggingface import loading  # noqa: F401


def _expected_logits(config: Config, source: Source, clip: Clip | None) -> tuple[ExpectedLogits | None, str | None]:
    """The published logits if checkpoint and clip are the official ones; else None, and why not."""
    expected, mode = config.model.expected_logits, config.verify.expected_logits
    if expected is None:
        return None, "the model has no published logits"
    if mode == "never":
        return None, "switched off (verify.expected_logits=never)"
    if mode == "auto" and not source.official:
        return None, "not the official checkpoint"
    if clip is None:
        return None, "the folder has no feature extractor for the clip of the published logits"
    if mode == "auto" and not clip.official:
        return None, "not the clip of the published logits"
    return expected, None


def note_epsilon(report: Report, spec: Spec) -> None:
    """Note in the report what a folder's epsilon costs if it is not the original's."""
    logits = report.checks["logits"]
    same = logits.measured.get("max_abs_diff_with_original_epsilon")
    if isinstance(same, float) and logits.max_abs_diff is not None:
        note(
            report,
            f"the folder's layer_norm_eps differs from the original's {spec.layer_norm_eps:g}: the logits differ by "
            f"{logits.max_abs_diff:.1e}, but only by {same:.1e} with the original's epsilon",
        )
