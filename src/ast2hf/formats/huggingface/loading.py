"""The written folder as its users load it: only through ``from_pretrained``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ast2hf import device as devices
from ast2hf import torchaudio_guard
from ast2hf.errors import VerificationError, printable
from ast2hf.families.base import CLASSIFICATION, Activations
from ast2hf.formats.base import LoadingInfo
from ast2hf.formats.huggingface import config

torchaudio_guard.install()  # before transformers looks for torchaudio

from transformers import AutoModel, AutoModelForAudioClassification  # noqa: E402

# The two classes above would import this on use; here, it counts as import time.
from transformers.models.audio_spectrogram_transformer import modeling_audio_spectrogram_transformer  # noqa: E402, F401
from transformers.utils import is_flash_attn_2_available, logging  # noqa: E402

FLASH = "flash_attention_2"


class HuggingFaceModel:
    """See :class:`ast2hf.formats.base.Loaded`."""

    half_attentions = (FLASH,)

    def __init__(self, model: Any, info: LoadingInfo) -> None:
        self.info = info
        self.model = model
        self.layer_norm_eps = float(model.config.layer_norm_eps)
        self.attentions: dict[str, str | None] = {"eager": None, "sdpa": None, FLASH: _no_flash(model.device)}

    def __call__(self, features: Tensor) -> Activations:
        encoded: list[Any] = []
        # Module names differ between versions of transformers; the outputs of the encoder do not.
        hook = self.model.base_model.register_forward_hook(lambda _, __, outputs: encoded.append(outputs))
        try:
            outputs = self.model(features, output_hidden_states=True)
        finally:
            hook.remove()
        states = encoded[0]
        logits = outputs.get("logits")
        return Activations(tuple(outputs.hidden_states), states.last_hidden_state, states.pooler_output, logits)

    def logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.model(features).logits
        return logits

    @contextmanager
    def with_epsilon(self, epsilon: float) -> Iterator[None]:
        norms = [module for module in self.model.modules() if isinstance(module, nn.LayerNorm)]
        before = [norm.eps for norm in norms]
        try:
            for norm in norms:
                norm.eps = epsilon
            yield
        finally:
            for norm, own in zip(norms, before, strict=True):
                norm.eps = own

    @contextmanager
    def with_attention(self, name: str) -> Iterator[None]:
        before = self.model.config._attn_implementation
        try:
            self.model.set_attn_implementation(name)
            with torch.autocast(self.model.device.type, torch.float16, enabled=name in self.half_attentions):
                yield
        finally:
            self.model.set_attn_implementation(before)


def _no_flash(device: torch.device) -> str | None:
    if device.type != "cuda":
        return f"not for {device.type}"
    return None if is_flash_attn_2_available() else "not installed"


def load(folder: Path, device: torch.device, dtype: str = "float32") -> HuggingFaceModel:
    """The model in ``folder`` on ``device``. Raises VerificationError if transformers cannot load it.

    ``dtype``: of its computation, named as in torch.
    """
    auto = AutoModelForAudioClassification if config.read_head(folder) == CLASSIFICATION else AutoModel
    try:
        with _quiet():
            model, info = auto.from_pretrained(
                folder, output_loading_info=True, local_files_only=True, dtype=getattr(torch, dtype)
            )
    except Exception as error:  # whatever from_pretrained raises, the folder is not one that users can load
        if devices.is_out_of_memory(error):
            raise
        raise VerificationError(
            f"transformers cannot load the folder ({printable(type(error).__name__)}: {printable(error)})",
            "if ast2hf wrote the folder, please report this bug",
        ) from error
    names = {key: tuple(sorted(str(name) for name in value)) for key, value in info.items()}
    loading = LoadingInfo(names["missing_keys"], names["unexpected_keys"], names["mismatched_keys"])
    return HuggingFaceModel(model.to(device).eval(), loading)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress bars and warnings of transformers inside this context."""
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
