"""The authors' own layout: one file written by torch.save, with the prefix ``module.`` that DataParallel adds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.output.files import writing

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "module."


@contextmanager
def written(path: Path, tensors: Mapping[str, Tensor]) -> Iterator[Path]:
    """Write ``tensors`` to a temporary file beside ``path``; renamed to ``path`` at the end, removed after an error.

    Raises OutputError.
    """
    import torch

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                torch.save({PREFIX + name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        yield temporary
        with writing(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
