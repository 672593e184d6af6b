"""The converted model in MLflow: logged with its run, registered under its name, ready to be loaded and served.

The published files themselves are uploaded, so the weights are bit-identical to those that were proved.
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ast2hf.audio import PACKAGED_CLIP
from ast2hf.errors import printable
from ast2hf.formats.huggingface import names
from ast2hf.output.up_to_date import file_hashes, model_files
from ast2hf.tracking.record import NOTE, MlflowRecord

ALIAS = "verified"
"""Alias of the latest version; only models that passed their proof are registered."""

# torchaudio: without it, transformers computes the features with code other than the code that was proved.
_REQUIREMENTS = ("torch", "torchaudio", "transformers", "numpy")

_INPUT = (
    "Input: one clip, one channel of float32 at the model's rate, of at least 25 ms. For several clips at once, or "
    "float64, load it with `mlflow.transformers.load_model`."
)

_CARD_AND_REPORT = (names.CARD, names.REPORT)


def register(client: Any, experiment: str, run_id: str, record: MlflowRecord) -> str | None:
    """Log the model of ``record`` with the run ``run_id`` and register it; return the URI of its version.

    None if the folder has changed since: another conversion may have replaced it before this record could be sent.
    Results of an earlier attempt are reused, so that nothing is logged twice.
    """
    assert record.model is not None
    source = Path(record.model.folder)
    if not _is_intact(source, record.model.files):
        print(f"warning: {printable(source)} has changed since it was published; it is not logged", file=sys.stderr)
        return None
    name = registered_name(record.model.name)
    found = client.search_model_versions(f"run_id = '{run_id}'")
    number = found[0].version if found else _new_version(client, experiment, run_id, record, source, name)
    client.set_registered_model_alias(name, ALIAS, number)
    return f"models:/{name}/{number} (alias {ALIAS})"


def registered_name(name: str) -> str:
    """``name`` without characters that the registry refuses or that have a meaning in a ``models:/`` URI."""
    return re.sub(r"[^\w.=+-]", "-", name)


def _is_intact(source: Path, files: dict[str, str]) -> bool:
    with suppress(OSError):
        return file_hashes(source, files or names.MODEL_FILES) == files and all(
            (source / name).exists() for name in _CARD_AND_REPORT
        )
    return False


def _new_version(client: Any, experiment: str, run_id: str, record: MlflowRecord, source: Path, name: str) -> str:
    from mlflow.entities import LoggedModelStatus
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    logged = _logged_model(client, experiment, run_id)
    # With the client, since mlflow.transformers.log_model would take the store from process-wide state.
    with tempfile.TemporaryDirectory(prefix="ast2hf-") as scratch:
        path = Path(scratch) / "model"
        about = Model(model_uuid=logged.model_id, model_id=logged.model_id, run_id=run_id)
        save(source, path, about)
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # Not models:/<id>, which a local registry would look up in the process-wide store.
    where = logged.artifact_location
    about = "\n\n".join(filter(None, [record.tags.get(NOTE), _INPUT]))
    made = client.create_model_version(name, where, run_id, _tags(record), description=about, model_id=logged.model_id)
    return str(made.version)


def _logged_model(client: Any, experiment: str, run_id: str) -> Any:
    from mlflow.entities import LoggedModelOutput

    begun = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    logged = begun[0] if begun else client.create_logged_model(experiment, name="model", source_run_id=run_id)
    if logged.model_id not in [output.model_id for output in client.get_run(run_id).outputs.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def save(source: Path, path: Path, about: Any) -> None:
    """Write the model folder ``source`` as an MLflow model, an audio classification pipeline, to a new folder ``path``.

    It contains links to the files of ``source``: the upload reads through them, and the weights are not copied.
    The input is a waveform, float32 of shape (samples,) at the rate of the feature extractor, of at least 25 ms. A
    schema has one type and one shape, so float64 and batches are for the pipeline that mlflow.transformers loads.
    """
    from ast2hf import torchaudio_guard

    torchaudio_guard.install()  # before transformers looks for torchaudio
    import mlflow.transformers
    import numpy as np
    import soundfile
    import torch
    from huggingface_hub import ModelCard
    from mlflow.models import ModelSignature
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.types import ColSpec, Schema, TensorSpec
    from transformers import AutoFeatureExtractor, pipeline

    from ast2hf.formats.huggingface import loading

    model = loading.load(source, torch.device("cpu")).model
    model.save_pretrained = lambda save_directory, **_: _link(source, Path(save_directory))
    extractor = AutoFeatureExtractor.from_pretrained(source, local_files_only=True)
    example, _ = soundfile.read(PACKAGED_CLIP, frames=extractor.sampling_rate, dtype="float32")
    mlflow.transformers.save_model(
        pipeline("audio-classification", model=model, feature_extractor=extractor, device="cpu"),
        path=str(path),
        mlflow_model=about,
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype("float32"), (-1,))]),
            outputs=Schema([ColSpec("double", "score"), ColSpec("string", "label")]),
        ),
        input_example=example,
        pip_requirements=requirements(),
        model_card=ModelCard.load(source / names.CARD),
    )
    (path / "LICENSE.txt").unlink()  # it would refer to a Hub page named after the local folder
    about.flavors[mlflow.transformers.FLAVOR_NAME]["source_model_name"] = source.name  # was a local path
    about.save(str(path / MLMODEL_FILE_NAME))


def requirements() -> list[str]:
    """The packages needed to serve the model, in the versions with which it was proved.

    Without local version labels (``2.13.0+cpu``), which other package indexes do not have. An environment with a
    CPU-only torch needs a matching torchaudio.
    """
    return [f"{package}=={version(package).partition('+')[0]}" for package in _REQUIREMENTS]


def _link(source: Path, path: Path) -> None:
    path.mkdir()
    for name in (*model_files(source), *_CARD_AND_REPORT):
        (path / name).symlink_to(source / name)


def _tags(record: MlflowRecord) -> dict[str, str]:
    """The tags of the run, and the measured differences with their tolerances."""
    proof = {name: f"{value:.3g}" for name, value, _ in record.metrics if name.endswith((".diff", "tol"))}
    return {name: value for name, value in record.tags.items() if not name.startswith("mlflow.")} | proof
