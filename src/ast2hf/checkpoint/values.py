"""The values of one tensor, read with NumPy, since importing torch for a few numbers would take seconds."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from ast2hf.checkpoint.container import read
from ast2hf.checkpoint.tensor_meta import ITEMSIZE
from ast2hf.checkpoint.validate import SourceTensor
from ast2hf.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COMPLEX = ("complex64", "complex128")


def values(fd: int, name: str, tensor: SourceTensor) -> NDArray[np.float64]:
    """A copy in float64, in the tensor's shape. Raises InputError if its values are complex."""
    import numpy as np

    if tensor.dtype in _COMPLEX:
        raise InputError(f"{name} has the complex dtype {tensor.dtype}", "save the weights as float32")
    if not prod(tensor.shape):
        return np.empty(tensor.shape)
    data = read(fd, tensor.span)
    if tensor.dtype == "bfloat16":  # the upper half of a float32
        flat = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        flat = np.frombuffer(data, np.dtype(tensor.dtype).newbyteorder("<"))
    step = flat.itemsize
    assert step == ITEMSIZE[tensor.dtype] or tensor.dtype == "bfloat16"
    strides = tuple(step * stride for stride in tensor.stride)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides).astype(np.float64)
