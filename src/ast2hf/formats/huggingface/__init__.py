"""The Hugging Face model folder: a safetensors file that transformers loads, with its configuration files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ast2hf.errors import InputError, printable
from ast2hf.formats.base import Loaded, Spec, TensorFile
from ast2hf.formats.huggingface import config, names, weights
from ast2hf.output.files import write_json, writing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ast2hf.checkpoint.state_dict import StateDict


class HuggingFace:
    """See :class:`ast2hf.formats.base.Format`."""

    name = "huggingface"

    def model_files(self, spec: Spec) -> tuple[str, ...]:
        return names.model_files(extractor=spec.family.expressible, head_apart=bool(spec.head_apart))

    def write(self, folder: Path, spec: Spec, state_dict: StateDict) -> None:
        path = folder / names.WEIGHTS
        with writing(path):
            weights.write(path, spec.plan, state_dict)
        write_json(folder / names.CONFIG, config.config(spec))
        if spec.family.expressible:
            write_json(folder / names.PREPROCESSOR, config.preprocessor_config(spec))
        if spec.head_apart:
            path = folder / names.HEAD
            with writing(path):
                weights.write(path, weights.as_they_are(spec.head_apart, state_dict.shapes), state_dict)

    def features(self, folder: Path, waveform: Tensor, sampling_rate: int) -> Tensor:
        from ast2hf.formats.huggingface import extraction  # which imports transformers

        return extraction.features(folder, waveform, sampling_rate)

    def extractor(self, folder: Path, sampling_rate: int) -> Callable[[Tensor], Tensor]:
        from ast2hf.formats.huggingface import extraction  # which imports transformers

        return extraction.extractor(folder, sampling_rate)

    def load(self, folder: Path, device: torch.device, dtype: str = "float32") -> Loaded:
        from ast2hf.formats.huggingface import loading  # which imports transformers

        return loading.load(folder, device, dtype)

    def head(self, folder: Path) -> str:
        return config.read_head(folder)

    def labels(self, folder: Path) -> tuple[str, ...] | None:
        return config.read_labels(folder)

    def tensors(self, folder: Path) -> AbstractContextManager[TensorFile]:
        return _opened(folder, names.WEIGHTS, "save the model again with save_pretrained()")

    def head_apart(self, folder: Path) -> AbstractContextManager[TensorFile]:
        return _opened(folder, names.HEAD, "convert the checkpoint again")


def _opened(folder: Path, name: str, remedy: str) -> AbstractContextManager[TensorFile]:
    from safetensors import SafetensorError, safe_open

    try:
        return cast("AbstractContextManager[TensorFile]", safe_open(folder / name, framework="pt"))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{printable(folder.name)} has no readable {name} ({printable(error, 100)})", remedy) from None


HUGGING_FACE = HuggingFace()
