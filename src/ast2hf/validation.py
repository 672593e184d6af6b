"""Values of the right type that make no sense."""

from __future__ import annotations

import re
from dataclasses import fields
from math import isfinite

from ast2hf.config import MULTI_LABEL, SINGLE_LABEL, Config, Hub
from ast2hf.errors import ConfigurationError, first_line, is_printable, printable

TASKS = ("convert", "replay")

CHOICES = {
    "task": TASKS,
    "model.problem_type": (MULTI_LABEL, SINGLE_LABEL),
    "verify.expected_logits": ("auto", "always", "never"),
}


def validate(config: Config) -> None:
    """Raise ConfigurationError for values of the right type that make no sense."""
    values = {
        "task": config.task,
        "model.problem_type": config.model.problem_type,
        "verify.expected_logits": config.verify.expected_logits,
    }
    for key, value in values.items():
        if value not in CHOICES[key]:
            raise ConfigurationError(f"{key} is {printable(value, 60)}", f"choose one of: {', '.join(CHOICES[key])}")
    positive = {
        "model.std": config.model.std,
        "model.layer_norm_eps": config.model.layer_norm_eps,
        "download.timeout_s": config.download.timeout_s,
        "download.deadline_s": config.download.deadline_s,
    }
    not_negative = {}
    for device in fields(config.verify.tolerances):
        tolerance = config.verify.tolerance(device.name, "float32")
        key = f"verify.tolerances.{device.name}.float32"
        positive[f"{key}.features_atol"] = tolerance.features_atol
        positive[f"{key}.pooled_atol"] = tolerance.pooled_atol
        positive[f"{key}.logits_atol"] = tolerance.logits_atol
        not_negative[f"{key}.logits_rtol"] = tolerance.logits_rtol
    if config.model.expected_logits is not None:
        positive["model.expected_logits.atol"] = config.model.expected_logits.atol
    positive["model.sampling_rate"] = config.model.sampling_rate
    if config.threads is not None:
        positive["threads"] = config.threads
    if config.tracking.enabled and not config.tracking.uri:
        raise ConfigurationError("tracking.uri is empty", "give the address of a store or server, or tracking=off")
    for key, number in positive.items():
        if not (isfinite(number) and number > 0):
            raise ConfigurationError(f"{key} is {number}", "give a positive number")
    for key, number in not_negative.items():
        if not (isfinite(number) and number >= 0):
            raise ConfigurationError(f"{key} is {number}", "give a number that is not negative")
    if not isfinite(config.model.mean):
        raise ConfigurationError(f"model.mean is {config.model.mean}", "give a number")
    sha256 = config.model.sha256
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigurationError(f"model.sha256 is {printable(sha256, 80)}", "give 64 hexadecimal digits")
    _validate_hub(config.hub)
    name = config.model.name
    if not name or not is_printable(name) or "/" in name or name in (".", ".."):
        raise ConfigurationError(f"model.name is {printable(repr(name))}", "give a name that can be that of a folder")


def _validate_hub(hub: Hub) -> None:
    if not hub.push:
        if hub.repo_id is not None:
            raise ConfigurationError("hub.repo_id is given, but nothing is to be pushed", "add hub=push")
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
    for key, value in {"hub.revision": hub.revision, "hub.commit_message": hub.commit_message}.items():
        if not value.strip():
            raise ConfigurationError(f"{key} is empty", "give some text, or leave it out")
