"""The whole story of one conversion; the only place that knows the order.

Everything up to the plan needs no torch, so that most faults are told at once; transformers is imported after it.
"""

from __future__ import annotations

import gc
import logging
import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf import device as devices
from ast2hf import local_files
from ast2hf.checkpoint.source import Source, locate
from ast2hf.checkpoint.state_dict import Checkpoint, open_checkpoint
from ast2hf.errors import Ast2hfError
from ast2hf.geometry import resolve
from ast2hf.huggingface import description, existing, folder, publication, weights
from ast2hf.huggingface.publication import Claim, claimed
from ast2hf.labels import Labels, load_labels
from ast2hf.mapping.ast import TABLE
from ast2hf.mapping.foreign import require_ast
from ast2hf.mapping.plan import make_plan
from ast2hf.reference.front_end import FrontEnd
from ast2hf.run import Model, Run

if TYPE_CHECKING:
    from ast2hf.audio import Clip

log = logging.getLogger(__name__)


def convert(run: Run) -> tuple[Path, bool]:
    """Convert, prove and publish one model; return its folder, and whether it was there already, as it would be made.

    ``run.report`` is filled in as far as the run comes.

    Raises the errors of :mod:`ast2hf.errors`; then nothing is published and the target is as it was.
    """
    config, report = run.config, run.report
    target = Path(os.path.abspath(local_files.expand(str(config.output_dir))))  # noqa: PTH100  `..` goes, links stay
    publication.check_place(target)
    report.device = devices.resolve(config.device.name)
    if config.device.name == "auto":
        run.note(f"device=auto is {report.device} here")
    with ExitStack() as stack:
        claim = stack.enter_context(claimed(run.folder / "planned" if config.dry_run else target))
        publication.check_free(target, config.overwrite or config.skip_existing)
        labels = _load_labels(run)
        source, checkpoint = _open(run, claim, stack)
        model = _plan(run, checkpoint, labels)
        if config.dry_run or config.skip_existing:
            _identify(run, source, checkpoint)
        if config.skip_existing and _is_current(run, target):
            return target, True
        if config.dry_run:
            return target, False
        _import_libraries(run)
        clip = _load_clip(run)
        from ast2hf.verify import proof  # which needs torch and transformers

        staged = claim.new_folder(publication.STAGING)
        _write(run, staged, checkpoint, model)
        _identify(run, source, checkpoint)
        proof.prove(run, staged, source, checkpoint, model, clip)
        _publish(run, staged, claim)
    return target, False


def _load_labels(run: Run) -> Labels:
    with run.stages.quiet("inputs"):
        labels = load_labels(run.config.labels, run.config.model)
    run.report.labels = labels.uri
    return labels


def _import_libraries(run: Run) -> None:
    with run.stages("import", "Import torch and transformers"):
        # The imports make objects by the million that live for ever. Without collections among them, and with the
        # objects set aside afterwards, a run is over about a second and a half earlier, most of it at its exit.
        gc.disable()
        try:
            devices.use_threads(run.config.threads)
            from ast2hf.verify import proof  # noqa: F401  timed here, and not as part of the proof
        finally:
            gc.freeze()
            gc.enable()


def _load_clip(run: Run) -> Clip:
    with run.stages.quiet("inputs"):
        from ast2hf.audio import load_clip

        cache = local_files.expand(run.config.paths.cache).absolute()
        clip = load_clip(run.config.audio, run.config.model, cache)
    run.report.clip = clip.uri
    run.note(*clip.notes)
    return clip


def _open(run: Run, claim: Claim, stack: ExitStack) -> tuple[Source, Checkpoint]:
    config = run.config
    scratch = claim.new_folder(publication.SCRATCH)
    source = stack.enter_context(locate(config, scratch, run.stages))
    run.report.source["uri"] = source.uri
    with run.stages("read", "Read and vet the checkpoint"):
        checkpoint = stack.enter_context(open_checkpoint(source.path))
    run.report.source["bytes"] = checkpoint.nbytes
    run.note(*checkpoint.notes)
    return source, checkpoint


def _identify(run: Run, source: Source, checkpoint: Checkpoint) -> None:
    with run.stages.quiet("read"):  # the hash has been computed meanwhile; what is left of it counts as reading
        run.report.source["sha256"] = checkpoint.sha256
    source.check(checkpoint.sha256)


def _plan(run: Run, checkpoint: Checkpoint, labels: Labels) -> Model:
    model, coverage = run.config.model, run.report.coverage
    with run.stages.quiet("convert"):
        require_ast(checkpoint.shapes)
        geometry = resolve(model, checkpoint.shapes)
        run.report.geometry = geometry.as_dict()
        coverage.source = len(checkpoint.tensors)
        try:
            plan = make_plan(TABLE, geometry.num_hidden_layers, geometry.dimensions(), checkpoint.shapes)
        except Ast2hfError as error:
            coverage.decide(False, error.cause)
            raise
        coverage.consumed, coverage.targets = len(plan.sources), len(plan.slices)
        coverage.dropped, coverage.dropped_tensors = len(plan.dropped), dict(plan.dropped)
        coverage.decide(True)
        front_end = FrontEnd(model.sampling_rate, model.num_mel_bins, model.max_length, model.mean, model.std)
        run.report.front_end, run.report.layer_norm_eps = asdict(front_end), model.layer_norm_eps
        names = labels.for_classes(geometry.num_labels)
        run.report.configuration_sha256 = _configuration_hash(run, names)
        return Model(geometry, front_end, plan, names)


def _is_current(run: Run, target: Path) -> bool:
    if not os.path.lexists(target):
        return False
    report = run.report
    with run.stages.quiet("read"):
        before, why = existing.proved_before(target, report.source["sha256"], str(report.configuration_sha256))
    if before is None:
        run.note(f"not skipped: {why}")
        publication.check_free(target, run.config.overwrite)
        return False
    run.note("skipped: the folder is already what would be made")
    report.status = "passed"
    report.logits.reason = "proved before: see the folder's report"
    report.logits.max_abs_diff, report.logits.atol = before["logits"]["max_abs_diff"], before["logits"]["atol"]
    return True


def _configuration_hash(run: Run, labels: tuple[str, ...]) -> str:
    """Of all that decides what is made and how it is proved, and not of where it comes from or goes to."""
    config, report = run.config, run.report
    model = asdict(config.model)
    del model["url"], model["sha256"], model["name"]
    return existing.configuration_hash(
        {
            "ast2hf": report.environment["ast2hf"], "model": model, "labels": labels, "audio": config.audio,
            "device": report.device, "dtype": report.dtype, "verify": asdict(config.verify),
        }
    )  # fmt: skip


def _write(run: Run, staged: Path, checkpoint: Checkpoint, model: Model) -> None:
    settings = run.config.model
    with run.stages("convert", f"Write {len(model.plan.slices)} tensors"):
        path = staged / weights.FILENAME
        with folder.writing(path):
            weights.write(path, model.plan, checkpoint)
        config = description.config(model.geometry, model.labels, settings.problem_type, settings.layer_norm_eps)
        folder.write_json(staged / folder.CONFIG, config)
        folder.write_json(staged / folder.PREPROCESSOR, description.preprocessor_config(model.front_end))


def _publish(run: Run, staged: Path, claim: Claim) -> None:
    from ast2hf.report import model_card

    report = run.report
    with run.stages("publish", "Publish the model folder"):
        report.files = existing.hashes(staged)
        published = replace(report, status="passed", timings_s=run.stages.seconds)
        place = run.config.hub.repo_id or str(run.config.output_dir)
        card = model_card.render(published, place, run.config.model.problem_type)
        folder.write_json(staged / folder.REPORT, published.as_dict())
        folder.write_text(staged / folder.CARD, card)
        claim.publish(run.config.overwrite)
    report.status = "passed"
