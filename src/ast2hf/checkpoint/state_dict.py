"""The state dict of a checkpoint: name -> where the tensor's bytes lie in the file. No weights are in memory."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.checkpoint.container import ByteRange, Container, blocks, read
from ast2hf.checkpoint.sniff import open_container
from ast2hf.checkpoint.validate import SourceTensor, unwrap, validate
from ast2hf.errors import InputError, printable
from ast2hf.local_files import unreadable

if TYPE_CHECKING:
    from torch import Tensor


class Checkpoint:
    """An open, vetted checkpoint. Use :func:`open_checkpoint`."""

    def __init__(
        self, path: Path, fd: int, container: Container, tensors: Mapping[str, SourceTensor], notes: tuple[str, ...],
        keys: tuple[str, ...], prefix: str, sha256: Future[str],
    ) -> None:  # fmt: skip
        self.path = path
        self.fd = fd
        self.format = container.format
        self.nbytes = os.fstat(fd).st_size
        self.tensors = tensors
        self.notes = notes
        self.keys = keys
        self.prefix = prefix
        self._sha256 = sha256

    @property
    def sha256(self) -> str:
        """Of the whole file. Computed beside the other work; waits until it is known."""
        return self._sha256.result()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: t.shape for name, t in self.tensors.items()}

    def read(self, name: str) -> Tensor:
        """One tensor in float32, contiguous, in memory; for the few that are not plain."""
        import torch

        t = self.tensors[name]
        if not prod(t.shape):
            return torch.empty(t.shape)
        flat = torch.frombuffer(read(self.fd, t.span), dtype=getattr(torch, t.dtype))
        return flat.as_strided(t.shape, t.stride).to(torch.float32).contiguous()

    def load_with_torch(self) -> dict[str, Tensor]:
        """The same state dict, read independently by ``torch.load``: what the proof compares with. Memory-mapped."""
        import torch

        mmap = self.format == "zip"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            try:
                value = torch.load(self.path, map_location="cpu", weights_only=True, mmap=mmap)
            except Exception as error:  # not its text, which recommends to load without weights_only
                raise InputError(
                    f"torch.load does not read the checkpoint ({type(error).__name__})", "re-save the checkpoint"
                ) from error
        for key in self.keys:
            value = value[key]
        return {name.removeprefix(self.prefix): t.detach().to(torch.float32) for name, t in value.items()}


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Open and vet ``path``; the SHA-256 is computed in a second thread meanwhile. Raises InputError."""
    with ExitStack() as stack:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
                raise InputError(f"checkpoint {printable(path)} is no file", "give the path of a .pth file")
            file = stack.enter_context(path.open("rb", buffering=0))
        except (OSError, ValueError) as error:
            raise unreadable(f"checkpoint {printable(path)}", error, "give the path of a .pth file") from None
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sha256")
        stack.callback(executor.shutdown)
        abandoned = threading.Event()
        stack.callback(abandoned.set)
        sha256 = executor.submit(_sha256, file.fileno(), abandoned)
        container = open_container(path, file)
        state_dict, keys = unwrap(container.root)
        tensors, prefix, notes = validate(state_dict, container)
        if keys:
            notes = (f"the state dict was found under {'/'.join(keys)}", *notes)
        yield Checkpoint(path, file.fileno(), container, tensors, notes, keys, prefix, sha256)


def _sha256(fd: int, abandoned: threading.Event) -> str:
    digest = hashlib.sha256()
    for block in blocks(fd, ByteRange(0, os.fstat(fd).st_size)):
        if abandoned.is_set():
            raise CancelledError
        digest.update(block)
    return digest.hexdigest()
