"""A conversion, a verification and a restoration from beginning to end; the only place that knows the order.

Nothing up to the plan needs torch, so most faults show at once; transformers is imported after it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ast2hf import device as devices
from ast2hf import given_folder, hub_download, local_files, proving
from ast2hf.checkpoint.source import SYNTHETIC
from ast2hf.config import Config
from ast2hf.errors import ConfigurationError, DownloadError
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface import HUGGING_FACE, names
from ast2hf.labels import Labels, load_labels
from ast2hf.output import lock as output
from ast2hf.output import up_to_date
from ast2hf.output.files import write_json, write_text
from ast2hf.planning import Opened, identify, note, open_and_plan
from ast2hf.privacy import local_paths, without_paths
from ast2hf.progress import Progress
from ast2hf.proof import checks
from ast2hf.results import INTERRUPTED, CheckResult, Conversion, Report


def run(conversion: Conversion, config: Config, progress: Progress) -> None:
    """Do what ``config.task`` says. ``conversion`` is filled in step by step.

    Raises the errors of :mod:`ast2hf.errors`; nothing is then published, and the target is left as it was.
    """
    report = conversion.report
    try:
        {"convert": convert, "verify": verify, "restore": restore}[config.task](conversion, config, progress)
        if not config.dry_run:
            report.status = "passed"
    except BaseException as error:
        report.status = "failed"
        report.error = without_paths(str(error), local_paths(config)) if isinstance(error, Exception) else INTERRUPTED
        raise
    finally:
        report.timings_s = progress.seconds


def convert(conversion: Conversion, config: Config, progress: Progress) -> None:
    """Convert, prove and publish one model."""
    report = conversion.report
    target, outputs = (_full(path) for path in (str(config.output_dir), config.paths.outputs))
    output.check_place(target, outputs)
    _begin(report, config)
    with ExitStack() as stack:
        place = None if config.dry_run else stack.enter_context(output.lock_output(target))
        output.check_free(target, config.overwrite or config.skip_existing)
        scratch = place.new_folder(output.SCRATCH) if place else _temporary_folder(stack)
        with progress.quiet("inputs"):
            labels = _labels(config)
        opened = open_and_plan(report, config, config.model, labels, scratch, stack, progress)
        _require_loggable(config, opened.spec)
        clips = proving.open_data_set(report, config, opened.spec)
        if config.skip_existing or place is None:
            identify(report, opened, progress)
        if config.skip_existing and _is_current(report, config, opened.spec, target, progress):
            conversion.folder, conversion.skipped = target, True
            return
        if place is None:
            return
        clip = proving.import_and_load_clip(report, config, opened.spec, progress)
        staged = place.new_folder(output.STAGING)
        with progress("convert", f"Write {len(opened.spec.plan.targets)} tensors"):
            HUGGING_FACE.write(staged, opened.spec, opened.state_dict)
        place.start_sync()
        identify(report, opened, progress)
        proving.prove(conversion, config, opened, staged, clip, clips, progress)
        with progress("publish", "Publish the model folder"):
            _describe(report, staged, opened, config, progress)
            place.publish(config.overwrite)
    conversion.folder = target


def verify(conversion: Conversion, config: Config, progress: Progress) -> None:
    """Prove someone else's folder against its checkpoint. Writes no model."""
    report = conversion.report
    _begin(report, config)
    with ExitStack() as stack:
        with progress.quiet("inputs"):
            folder = hub_download.model_folder(str(config.folder), (*names.ALL_MODEL_FILES, names.PROCESSOR))
            labels = given_folder.labels_of(folder, config)
        variant = replace(config.model, head=HUGGING_FACE.head(folder))
        given_folder.require_same_loss(variant, folder)
        opened = open_and_plan(report, config, variant, labels, _temporary_folder(stack), stack, progress)
        if not (folder / names.HEAD).exists():  # someone else's encoder need not come with the head
            opened = replace(opened, spec=replace(opened.spec, head_apart=()))
            report.head_apart = {}
        given_folder.require_no_extractor(opened.spec, folder)
        note(report, *given_folder.remarks(folder, opened.spec))
        clips = proving.open_data_set(report, config, opened.spec)
        clip = proving.import_and_load_clip(report, config, opened.spec, progress)
        identify(report, opened, progress)
        try:
            proving.prove(conversion, config, opened, folder, clip, clips, progress, to_the_end=True)
        finally:
            proving.note_epsilon(report, opened.spec)


def restore(conversion: Conversion, config: Config, progress: Progress) -> None:
    """Write the authors' file from a model folder, and prove it."""
    _begin(conversion.report, config)
    with progress.importing("Import torch and transformers"):
        import torch

        from ast2hf import restoring
        from ast2hf.formats.huggingface import loading  # noqa: F401
        from ast2hf.proof import prove  # noqa: F401
    restoring.restore(conversion, config, torch.device(str(conversion.report.device)), progress)


def _labels(config: Config) -> Labels:
    try:
        return load_labels(config.labels, config.model)
    except DownloadError as error:
        if config.checkpoint is None or config.checkpoint.partition(":")[0] == SYNTHETIC:
            raise
        raise DownloadError(error.cause, f"{error.remedy}, or model=custom for a checkpoint of your own") from error


def _begin(report: Report, config: Config) -> None:
    report.checks = checks.none_reached()
    report.device = devices.resolve(config.device.name)
    if config.device.name == "auto":
        note(report, f"device=auto is {report.device} here")


def _require_loggable(config: Config, spec: Spec) -> None:
    if config.tracking.enabled and config.tracking.log_model and not spec.family.expressible:
        raise ConfigurationError(
            f"tracking.log_model=true needs a feature extractor, but {spec.family.title} has none",
            "leave out tracking.log_model",
        )


def _is_current(report: Report, config: Config, spec: Spec, target: Path, progress: Progress) -> bool:
    if not os.path.lexists(target):
        return False
    with progress.quiet("read"):
        before, reason = up_to_date.read_if_current(
            target, report.source["sha256"], str(report.configuration_sha256), HUGGING_FACE.model_files(spec)
        )
    if before is None:
        note(report, f"not skipped: {reason}")
        output.check_free(target, config.overwrite)
        return False
    note(report, "skipped: the folder is already up to date; the proof is in its report")
    report.checks |= {name: CheckResult(name, **value) for name, value in before["checks"].items()}
    return True


def _describe(report: Report, staged: Path, opened: Opened, config: Config, progress: Progress) -> None:
    """Write card and report of the proved folder."""
    from ast2hf.render import card

    report.files = up_to_date.file_hashes(staged, HUGGING_FACE.model_files(opened.spec))
    proved = replace(report, status="passed", timings_s=progress.seconds)
    licence = config.license or (config.model.license if opened.source.official else None)
    write_json(staged / names.REPORT, proved.as_dict())
    write_text(staged / names.CARD, card.render(proved, licence, opened.spec.family.citation))


def _full(path: str) -> Path:
    return Path(os.path.abspath(local_files.expand(path)))  # noqa: PTH100  `..` goes, links stay


def _temporary_folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ast2hf-")))
