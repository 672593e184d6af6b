"""An open checkpoint, and the state dict chosen from it: the location of its tensors in the file. Holds no weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.checkpoint.candidates import Found, find
from ast2hf.checkpoint.container import Container, read
from ast2hf.checkpoint.selection import Part, choose, unread_note
from ast2hf.checkpoint.sniff import open_container
from ast2hf.checkpoint.validate import FLOATS, SourceTensor, notes, validate, vet
from ast2hf.checkpoint.values import values
from ast2hf.checkpoint.watched import Watch, watch
from ast2hf.errors import InputError, printable
from ast2hf.local_files import open_file, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class Checkpoint:
    """An open, vetted checkpoint from which no state dict has been chosen yet. Use :func:`open_checkpoint`.

    ``root``: dicts, lists, tuples, text, numbers, TensorMeta, and Opaque for everything else. ``opaque``: the number of
    objects left unread, by dotted name.
    """

    def __init__(self, path: Path, fd: int, container: Container, found: Found, watched: Watch) -> None:
        self.path = path
        self.fd = fd
        self.format = container.format
        self.nbytes = os.fstat(fd).st_size
        self.root = container.root
        self.candidates = found.candidates
        self.opaque = found.opaque
        self.pickled = container.pickled
        self.watch = watched
        self._container = container

    @property
    def sha256(self) -> str:
        """Of the whole file. Computed in parallel with other work; waits until it is known."""
        return self.watch.sha256

    def select(self, parts: Sequence[Part]) -> StateDict:
        """The state dict made of ``parts``, with each tensor checked against the file. Raises InputError."""
        chosen = choose(self.candidates, parts)
        tensors = {name: validate(c.name, c.tensor, self._container) for name, c in chosen.tensors.items()}
        unread = unread_note(self.opaque)
        return StateDict(self, tuple(parts), tensors, chosen.outside, (*chosen.notes, *notes(tensors), *unread))


@dataclass(frozen=True)
class StateDict:
    """The tensors of a model. ``parts``: where in the file they are.

    ``outside``: names (as in the file) and shapes of the tensors of the same candidates that no part takes. ``notes``:
    for people, one line each.
    """

    checkpoint: Checkpoint
    parts: tuple[Part, ...]
    tensors: Mapping[str, SourceTensor]
    outside: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: t.shape for name, t in self.tensors.items()}

    def require_floats(self, names: Iterable[str]) -> None:
        """Raise InputError if one of the tensors ``names`` is not floating point."""
        for name in names:
            if (dtype := self.tensors[name].dtype) not in FLOATS:
                raise InputError(
                    f"{name} has dtype {dtype}, which is not floating point", "save the weights as float32"
                )

    def read(self, name: str) -> Tensor:
        """One tensor in memory, in float32 and contiguous; for the few that are not plain. Raises InputError."""
        import torch

        self.require_floats([name])
        t = self.tensors[name]
        if not prod(t.shape):
            return torch.empty(t.shape)
        flat = torch.frombuffer(read(self.checkpoint.fd, t.span), dtype=getattr(torch, t.dtype))
        return flat.as_strided(t.shape, t.stride).to(torch.float32).contiguous()

    def values(self, name: str) -> NDArray[np.float64]:
        """One tensor of real numbers, without torch: for inspection, not for writing. Raises InputError."""
        return values(self.checkpoint.fd, name, self.tensors[name])


@contextmanager
def open_checkpoint(path: Path, *, hashed: bool = True) -> Iterator[Checkpoint]:
    """Open and vet ``path``. Raises InputError.

    A second thread computes the SHA-256 in the meantime; with ``hashed=False`` only once it is requested.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_file(path))
        except (OSError, ValueError) as error:
            raise unreadable(f"checkpoint {printable(path)}", error, "set checkpoint=PATH to a .pth file") from None
        watched = stack.enter_context(watch(file.fileno()))
        if hashed:
            watched.begin()
        container = open_container(path, file)
        found = find(container.root)
        vet(container, found.candidates)
        yield Checkpoint(path, file.fileno(), container, found, watched)
