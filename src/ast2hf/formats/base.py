"""The interface of an output format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ast2hf.families.base import CLS, Activations, Family, FrontEnd
from ast2hf.families.exact import SCALE
from ast2hf.families.geometry import Geometry
from ast2hf.families.resize import Resizing
from ast2hf.mapping.plan import Plan

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ast2hf.checkpoint.state_dict import StateDict


@dataclass(frozen=True)
class Spec:
    """The specification of a converted model. ``labels``: a name for each class; None if there is no head.

    ``pooling``: the original's. ``exact_epsilon``: as in the plan; ``layer_norm_eps`` is then that of the head.
    ``head_apart``: for an encoder, the tensors of the checkpoint's head, which are kept unchanged in a separate file.
    ``resizing``: set if position embeddings are resized; ``geometry`` is then the new one.
    ``head_norm``: ``plain`` if the layer norm of the original's head has no parameters.
    """

    family: Family
    head: str
    geometry: Geometry
    plan: Plan
    front_end: FrontEnd
    labels: tuple[str, ...] | None
    problem_type: str | None
    layer_norm_eps: float
    pooling: str = CLS
    exact_epsilon: bool = False
    head_apart: tuple[str, ...] = ()
    resizing: Resizing | None = None
    head_norm: str | None = None

    @property
    def residual_scale(self) -> float:
        """The factor between the converted model's states between the blocks and the original's."""
        return SCALE if self.exact_epsilon else 1.0


@dataclass(frozen=True)
class LoadingInfo:
    """Names of tensors, as reported by the loading library, which fills missing ones at random."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]


class Loaded(Protocol):
    """A converted model as its users load it."""

    info: LoadingInfo
    layer_norm_eps: float

    @property
    def attentions(self) -> Mapping[str, str | None]:
        """The implementations of attention by name, each with the reason why it cannot be used here, or None."""

    @property
    def half_attentions(self) -> Collection[str]:
        """Those of ``attentions`` that know half precision alone."""

    def __call__(self, features: Tensor) -> Activations: ...

    def with_attention(self, name: str) -> AbstractContextManager[None]:
        """Compute with another of ``attentions`` for a while."""

    def logits(self, features: Tensor) -> Tensor:
        """The logits alone, without keeping what each block computes. For models with a head."""

    def with_epsilon(self, epsilon: float) -> AbstractContextManager[None]:
        """Use ``epsilon`` in every layer norm inside this context."""


class Format(Protocol):
    """One output format."""

    name: str

    def model_files(self, spec: Spec) -> tuple[str, ...]:
        """The files of the model itself, without the card and the report."""

    def write(self, folder: Path, spec: Spec, state_dict: StateDict) -> None:
        """Write the model files of ``spec`` into the empty ``folder``. Raises OutputError, InputError."""

    def features(self, folder: Path, waveform: Tensor, sampling_rate: int) -> Tensor:
        """The features that the folder's own extractor computes from ``waveform``, float32 of shape (samples,) in
        [-1, 1]: (1, frames, bins), on the CPU. Raises InputError if there is no extractor, VerificationError if it
        does not work.
        """

    def extractor(self, folder: Path, sampling_rate: int) -> Callable[[Tensor], Tensor]:
        """:meth:`features` for many waveforms: the folder's extractor, loaded once."""

    def load(self, folder: Path, device: torch.device, dtype: str = "float32") -> Loaded:
        """Load the model to compute in ``dtype``, named as in torch. Raises VerificationError if it does not load."""

    def head(self, folder: Path) -> str:
        """The head of the model in ``folder``, as in ``model.head``. Raises InputError."""

    def labels(self, folder: Path) -> tuple[str, ...] | None:
        """The names of the classes of ``folder``, in order; None if it has none. Raises InputError."""

    def tensors(self, folder: Path) -> AbstractContextManager[TensorFile]:
        """The written tensors, by the names of the plan's targets. Raises InputError if there is no such file."""

    def head_apart(self, folder: Path) -> AbstractContextManager[TensorFile]:
        """The tensors of ``Spec.head_apart``, by their names in the checkpoint. Raises InputError."""


class TensorFile(Protocol):
    def keys(self) -> list[str]: ...
    def get_tensor(self, name: str) -> Tensor: ...
