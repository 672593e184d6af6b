"""Values of the right type that make no sense."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import fields
from math import isfinite

from ast2hf.checkpoint.source import SYNTHETIC
from ast2hf.config import MULTI_LABEL, SINGLE_LABEL, Config, Data, Hub, Verify
from ast2hf.errors import ConfigurationError, first_line, is_printable, printable
from ast2hf.evaluation.gates import HEADLINE_GATES
from ast2hf.evaluation.opening import KINDS
from ast2hf.families import FAMILIES, heads
from ast2hf.families.base import HEADS, POOLINGS
from ast2hf.proof.checks import CHECKS
from ast2hf.results import NO_HEAD

TASKS = ("convert", "inspect", "verify", "restore", "replay")

UNUSED = ("drop",)
"""The values of ``unused``, for tensors that belong to no part of the model."""

_OF_FOLDERS = ("verify", "restore")

_OF_DATA = ("convert", "verify")


def validate(config: Config) -> None:
    """Raise ConfigurationError for values of the right type that make no sense."""
    _require_choice("task", config.task, TASKS)
    if (config.folder is not None) != (config.task in _OF_FOLDERS):
        raise ConfigurationError(
            "folder is only for task=verify and task=restore"
            if config.folder is not None
            else f"task={config.task} needs a folder",
            f"set task={config.task if config.task in _OF_FOLDERS else 'verify'} folder=FOLDER_OR_HUB_ID "
            "checkpoint=FILE",
        )
    if config.task in (*_OF_FOLDERS, "inspect") and (config.hub.push or config.tracking.log_model):
        raise ConfigurationError(
            f"task={config.task} does not write a model, so there is nothing to push or log",
            "leave out hub=push and tracking.log_model",
        )
    if config.dry_run and config.task in ("verify", "replay"):
        raise ConfigurationError(
            f"task={config.task} writes no file that dry_run=true could leave out", "leave out dry_run=true"
        )
    if config.task == "restore" and config.checkpoint is None:
        raise ConfigurationError("task=restore needs an output file", "set checkpoint=OUT.pth")
    if config.task == "restore" and config.model.head_norm is not None:
        raise ConfigurationError(
            "task=restore writes the layer norm of the classifier with the folder's parameters",
            "leave out model.head_norm",
        )
    if config.task == "inspect" and config.checkpoint is None:
        raise ConfigurationError("task=inspect needs a checkpoint", "set checkpoint=FILE")
    _require_choice_or_none("model.family", config.model.family, FAMILIES)
    _require_choice_or_none("model.pooling", config.model.pooling, POOLINGS)
    _require_choice("model.head", config.model.head, HEADS)
    _require_choice_or_none("model.head_norm", config.model.head_norm, heads.NORMS)
    _require_choice_or_none("model.problem_type", config.model.problem_type, (MULTI_LABEL, SINGLE_LABEL))
    _require_choice_or_none("unused", config.unused, UNUSED)
    _require_choice("verify.expected_logits", config.verify.expected_logits, ("auto", "always", "never"))
    _require_choice("verify.attention", config.verify.attention, ("default", "all"))
    for key, number in _positive(config).items():
        if not (isfinite(number) and number > 0):
            raise ConfigurationError(f"{key} is {number}", "it must be > 0")
    _validate_tolerances(config.verify)
    if config.model.mean is not None and not isfinite(config.model.mean):
        raise ConfigurationError(f"model.mean is {config.model.mean}", "it must be a finite number")
    if config.tracking.enabled and config.tracking.uri is not None and not config.tracking.uri.strip():
        raise ConfigurationError("tracking.uri is empty", "set it to the URI of a store or server, or set tracking=off")
    sha256 = config.model.sha256
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigurationError(f"model.sha256 is {printable(sha256, 80)}", "set it to 64 hexadecimal digits")
    _validate_hub(config.hub, config.checkpoint)
    _validate_data(config)
    if config.model.head == NO_HEAD and config.tracking.enabled and config.tracking.log_model:
        raise ConfigurationError(
            "tracking.log_model=true registers a classifier, but model.head=none makes an encoder",
            "leave out one of the two",
        )
    name = config.model.name
    if not name or not is_printable(name) or "/" in name or name in (".", ".."):
        raise ConfigurationError(f"model.name is {printable(repr(name))}", "use a name that is a valid folder name")


def _require_choice(key: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{key} is {printable(value, 60)}", f"choose one of: {', '.join(choices)}")


def _require_choice_or_none(key: str, value: str | None, choices: Collection[str]) -> None:
    if value is not None:
        _require_choice(key, value, choices)


def _positive(config: Config) -> dict[str, float]:
    found = {
        "model.layer_norm_eps": config.model.layer_norm_eps,
        "model.sampling_rate": config.model.sampling_rate,
        "download.timeout_s": config.download.timeout_s,
        "download.deadline_s": config.download.deadline_s,
        "data.batch_size": config.data.batch_size,
        "data.shards": config.data.shards,
    }
    if config.model.expected_logits is not None:
        found["model.expected_logits.atol"] = config.model.expected_logits.atol
    open_ = {
        "model.std": config.model.std,
        "model.frequency_stride": config.model.frequency_stride,
        "model.time_stride": config.model.time_stride,
        "model.max_length": config.model.max_length,
        "model.num_mel_bins": config.model.num_mel_bins,
        "resize.max_length": config.resize.max_length,
        "resize.num_mel_bins": config.resize.num_mel_bins,
    }
    found |= {key: number for key, number in open_.items() if number is not None}
    if config.threads is not None:
        found["threads"] = config.threads
    return found


def _validate_data(config: Config) -> None:
    data = config.data
    if data.kind is None:
        given = {"path": data.path, "split": data.split, "labels": data.labels, "ids": data.ids, "shard": data.shard}
        key = next((key for key, value in given.items() if value is not None), None)
        if key is not None or data.shards != 1:
            raise ConfigurationError(
                f"data.{key or 'shards'} is set, but no data set is chosen", f"add data=… ({', '.join(KINDS)})"
            )
        return
    _require_choice("data.kind", data.kind, KINDS)
    if config.task not in _OF_DATA:
        raise ConfigurationError(f"task={config.task} does not run over a data set", f"leave out data={data.kind}")
    if config.model.head == NO_HEAD:
        raise ConfigurationError(
            f"data={data.kind} compares classes, but model.head=none makes an encoder", "leave out one of the two"
        )
    if data.path is None or not data.path.strip():
        raise ConfigurationError(f"data={data.kind} needs a data set", f"add data.path={_PATHS[data.kind]}")
    if data.streaming and data.kind != "huggingface":
        raise ConfigurationError(f"data={data.kind} cannot be streamed", "leave out data.streaming")
    _require_choice("data.dtype", data.dtype, HEADLINE_GATES)
    if data.workers is not None and data.workers < 0:
        raise ConfigurationError(f"data.workers is {data.workers}", "it must be >= 0")
    for key, number in {"max_skipped": data.max_skipped, "gates.agreement": data.gates.agreement}.items():
        if not 0 <= number <= 1:
            raise ConfigurationError(f"data.{key} is {number}", "it must be a fraction from 0 to 1")
    if data.gates.headline is not None and not (isfinite(data.gates.headline) and data.gates.headline >= 0):
        raise ConfigurationError(f"data.gates.headline is {data.gates.headline}", "it must be >= 0")
    _validate_shards(config.task, data)


_PATHS = {
    "manifest": "eval.json",
    "huggingface": "FOLDER_OR_HUB_ID",
    "esc50": "ESC-50-master",
    "speech_commands": "FOLDER",
    "audioset": "FOLDER",
}


def _validate_shards(task: str, data: Data) -> None:
    if data.shards > 1 and task != "verify":
        raise ConfigurationError(
            f"data.shards={data.shards} shares the clips among jobs, which task={task} cannot do",
            "convert first, then prove the folder with task=verify and the shards",
        )
    if data.shards > 1 and data.shard is None:
        raise ConfigurationError(
            f"data.shards={data.shards} needs data.shard, the number of the shard for this job",
            f"add -m 'data.shard=range({data.shards})'; once all shards are done, leave out both",
        )
    if data.shard is not None and not 0 <= data.shard < data.shards:
        raise ConfigurationError(
            f"data.shard is {data.shard} of data.shards={data.shards}", f"it must be from 0 to {data.shards - 1}"
        )


def _validate_tolerances(verify: Verify) -> None:
    for name, tolerances in verify.tolerances.items():
        _require_choice("a check in verify.tolerances", name, CHECKS)
        for device in fields(tolerances):
            key, tolerance = f"verify.tolerances.{name}.{device.name}", getattr(tolerances, device.name)
            if not (isfinite(tolerance.atol) and tolerance.atol > 0):
                raise ConfigurationError(f"{key}.atol is {tolerance.atol}", "it must be > 0")
            if not (isfinite(tolerance.rtol) and tolerance.rtol >= 0):
                raise ConfigurationError(f"{key}.rtol is {tolerance.rtol}", "it must be >= 0")


def _validate_hub(hub: Hub, checkpoint: str | None) -> None:
    if not hub.push:
        if hub.repo_id is not None:
            raise ConfigurationError("hub.repo_id is set, but hub=push is not", "add hub=push")
        return
    if hub.repo_id is None:
        raise ConfigurationError("hub=push needs the name of a repository", "add hub.repo_id=me/name")
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(hub.repo_id)
    except HFValidationError as error:
        raise ConfigurationError(
            f"hub.repo_id is {printable(repr(hub.repo_id))} ({first_line(error)})", "write it as hub.repo_id=me/name"
        ) from None
    if not hub.private and (checkpoint or "").partition(":")[0] == SYNTHETIC:
        raise ConfigurationError(
            "hub.private=false would publish synthetic weights, which have learned nothing",
            "leave out hub.private=false, or set checkpoint=… to trained weights",
        )
    for key, value in {"hub.revision": hub.revision, "hub.commit_message": hub.commit_message}.items():
        if not value.strip():
            raise ConfigurationError(f"{key} is empty", "set it to some text, or leave it out")
