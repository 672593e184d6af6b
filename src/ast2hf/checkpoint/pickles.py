"""Read the pickle of a checkpoint without running it.

The result consists of dicts, lists, tuples, text, numbers, plain descriptions of tensors, and unread objects
(:mod:`opaque`) for everything else. Nothing from the file, from torch or from Python's unpickler is called, and a
tensor takes no memory, however large it claims to be.
"""

from __future__ import annotations

import io
import pickletools
from typing import NamedTuple

from ast2hf.checkpoint.container import HINT_REDOWNLOAD, HINT_RESAVE, MAX_PICKLE
from ast2hf.checkpoint.stack_machine import MAX_STEPS, STEPS, StackMachine
from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
from ast2hf.errors import InputError, printable


class Pickled(NamedTuple):
    """An unpickled object, the storages (by key) and tensors that its pickle describes, and where the pickle ends."""

    root: object
    storages: dict[str, Storage]
    tensors: list[TensorMeta]
    end: int


def unpickle_restricted(data: bytes, start: int = 0) -> Pickled:
    """Unpickle ``data`` from ``start``. Raises InputError if it is damaged or needs something no checkpoint needs."""
    stream = io.BytesIO(data)
    stream.seek(start)
    machine = StackMachine()
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if steps == MAX_STEPS:
                raise InputError(f"the checkpoint's pickle takes more than {MAX_STEPS:,} steps", HINT_RESAVE)
            step = STEPS.get(opcode.name)
            if step is None:
                raise InputError(
                    f"the checkpoint's pickle uses {opcode.name}, which a state dict does not need", HINT_RESAVE
                )
            step(machine, argument)
        return Pickled(machine.pop(), machine.storages, machine.tensors, stream.tell())
    except InputError:
        raise
    except Exception as error:  # pickletools raises anything on damaged data
        if stream.tell() >= MAX_PICKLE:
            raise InputError(
                f"the checkpoint's pickle does not end within its first {MAX_PICKLE:,} bytes", HINT_RESAVE
            ) from None
        raise InputError(f"the checkpoint's pickle is damaged ({printable(error, 80)})", HINT_REDOWNLOAD) from None
