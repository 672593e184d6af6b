"""What a pickle says about a tensor: its dtype, its shape, and its location in a storage."""

from __future__ import annotations

from typing import NamedTuple

ITEMSIZE = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Bytes per element, by dtype."""


class Storage(NamedTuple):
    """A flat run of ``numel`` elements, stored under ``key`` in the file."""

    key: str
    dtype: str
    numel: int

    @property
    def nbytes(self) -> int:
        """The total size of the elements."""
        return self.numel * ITEMSIZE[self.dtype]


class TensorMeta(NamedTuple):
    """A strided view of a storage; ``offset`` and ``stride`` in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
