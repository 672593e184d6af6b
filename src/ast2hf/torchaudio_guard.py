"""Lets torchaudio be imported beside a torch that it was not linked for.

The torchaudio 2.11 wheel carries a compiled extension linked against CUDA libraries. Beside a CPU-only torch,
``import torchaudio`` therefore raises OSError, and with it transformers' AST feature extractor, which looks only
whether torchaudio is installed. All that either needs, ``torchaudio.compliance.kaldi``, is pure Python.

The guard is a meta path finder: it lets ``torchaudio._extension`` load as usual and, only where that fails for a
missing library, puts an empty one with the same attributes in its place. Modules of ast2hf install it before they
import torchaudio or transformers; importing ast2hf itself does not. Scripts without ast2hf need a torchaudio that fits
torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

GUARDED = "torchaudio._extension"


class _FallbackLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self._loader.exec_module(module)
        except OSError:
            module._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
            module._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
            module.fail_if_no_align = _unavailable  # type: ignore[attr-defined]


def _unavailable(func: Callable[..., object]) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise RuntimeError(f"{func.__name__} needs torchaudio's compiled extension, which does not fit this torch")

    return fail


class _Guard(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != GUARDED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _FallbackLoader(spec.loader)
        return spec


def install() -> None:
    """Install the guard once; harmless where torchaudio works or is absent."""
    if not any(isinstance(finder, _Guard) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Guard())
