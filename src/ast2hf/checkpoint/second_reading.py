"""The tensors of a checkpoint, read a second time, for the proof to compare with.

The first reading, from which the folder was written, and this one share only the open file and the vetted bytes of the
pickle. Python's own unpickler, with inert stand-ins, replaces :mod:`pickles`, and zipfile replaces
:mod:`zip_directory`; torch makes the tensors from whole storages instead of cutting byte ranges out of the file;
safetensors files are left entirely to the safetensors library. This reading does not search for a state dict: it goes
where the first one found it, and must find the same names, dtypes and shapes there. torch.load is not used: it would
also process everything else in the file, and it imports, maps and reads content that has not been vetted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ast2hf.checkpoint.second_pickles import Dict, StandIn, Storage, View
from ast2hf.checkpoint.second_records import DTYPES, FORMATS, Records, blocks
from ast2hf.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ast2hf.checkpoint.state_dict import StateDict

_PARAMETERS, _BUFFERS, _MODULES = "_parameters", "_buffers", "_modules"

_REMEDY = "re-save the checkpoint"


def load(state_dict: StateDict) -> dict[str, Tensor]:
    """The tensors of ``state_dict``, read again, by the same names; floating-point ones in float32.

    Raises InputError if the file has changed or does not read the same way twice.
    """
    checkpoint = state_dict.checkpoint
    try:
        if checkpoint.format == "safetensors":
            tensors = _safetensors(state_dict)
            _compare(state_dict, {name: (str(t.dtype)[6:], tuple(t.shape)) for name, t in tensors.items()})
            return {name: _float32(t) for name, t in tensors.items()}
        root, records = FORMATS[checkpoint.format](checkpoint.fd, checkpoint.pickled)
        views = _views(root, state_dict)
        _compare(state_dict, {name: (DTYPES[view.storage.kind], view.shape) for name, view in views.items()})
        return _tensors(views, records)
    except InputError:
        raise
    except Exception as error:  # the unpickler, zipfile and torch raise anything on unexpected data
        raise InputError(f"a second reading of the checkpoint failed ({type(error).__name__})", _REMEDY) from error


def _compare(state_dict: StateDict, found: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Raise InputError if ``found``, dtype and shape by name, differs from what the first reading found."""
    first = {name: (tensor.dtype, tensor.shape) for name, tensor in state_dict.tensors.items()}
    for name in {**first, **found}:
        if first.get(name) != found.get(name):
            raise InputError(f"two readings of the checkpoint differ in {name}", _REMEDY)


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _tensors(views: Mapping[str, View], records: Records) -> dict[str, Tensor]:
    """The tensors of ``views``. Each storage is read once, and freed once a converted copy has replaced it."""
    import torch

    by_storage: dict[Storage, list[str]] = {}
    for name, view in views.items():
        by_storage.setdefault(view.storage, []).append(name)
    found: dict[str, Tensor] = {}
    for storage, names in by_storage.items():
        dtype = getattr(torch, DTYPES[storage.kind])
        flat = torch.frombuffer(records(storage), dtype=dtype) if storage.numel else torch.empty(0, dtype=dtype)
        for name in names:
            _, offset, shape, stride = views[name]
            found[name] = _float32(torch.as_strided(flat, shape, stride, offset if 0 not in shape else 0))
    return {name: found[name] for name in views}


def _views(root: object, state_dict: StateDict) -> dict[str, View]:
    """The tensors selected by the parts of ``state_dict``, from the places in ``root`` that the parts name.

    Raises InputError if keys inside objects lead to several state dicts: the first reading may have used another one.
    """
    found: dict[str, View] = {}
    for part in state_dict.parts:
        first: dict[str, View] = {}
        for named in _reached(root, part.keys):
            taken = {part.renamed(name): view for name, view in named.items() if part.takes(name)}
            if first and taken and taken != first:
                raise InputError("the checkpoint holds two state dicts under the same keys", _REMEDY)
            first = first or taken
        found |= first
    return {name: found[name] for name in [*filter(found.__contains__, state_dict.tensors), *found]}


def _reached(root: object, keys: tuple[str | int, ...]) -> Iterator[dict[str, View]]:
    """The tensors, by name, of each container that ``keys`` lead to; inside a stand-in there can be several."""
    level = [root]
    for key in keys:
        level = [item for container in _containers(level) for item in _at(container, key)]
    for container in _containers(level):
        if isinstance(container, Dict):
            if _is_module(container):
                yield dict(_module_tensors(container))
            else:
                items = dict.items(container)
                yield {name: view for name, view in items if isinstance(name, str) and isinstance(view, View)}


def _containers(values: Iterable[object]) -> Iterator[object]:
    """``values``, with stand-ins replaced by their contents."""
    todo, seen = list(values)[::-1], set()
    while todo:
        value = todo.pop()
        if id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, StandIn):
                todo += value.parts()[::-1]
            else:
                yield value


def _at(container: object, key: str | int) -> Iterator[object]:
    if isinstance(container, Dict):
        if key in container:
            yield dict.__getitem__(container, key)
    elif isinstance(container, (list, tuple)) and isinstance(key, int) and key < len(container):
        yield container[key]


def _is_module(state: object) -> bool:
    parts = (_PARAMETERS, _BUFFERS, _MODULES)
    return isinstance(state, Dict) and all(isinstance(state.get(part), Dict) for part in parts)


def _module_tensors(module: Any) -> Iterator[tuple[str, View]]:
    """What ``state_dict()`` of a pickled module would return, from the attributes of its modules, without recursion."""
    todo = [("", module)]
    while todo:
        prefix, attributes = todo.pop()
        # Only if there are buffers: the file could share one long list among all modules.
        hidden = attributes.get("_non_persistent_buffers_set") if attributes[_BUFFERS] else None
        left_out = {name for name in hidden if isinstance(name, str)} if isinstance(hidden, (list, tuple)) else set()
        for name, value in dict.items(attributes[_PARAMETERS]):
            if isinstance(value, View):
                yield f"{prefix}{name}", value
        for name, value in dict.items(attributes[_BUFFERS]):
            if isinstance(value, View) and name not in left_out:
                yield f"{prefix}{name}", value
        below = [
            (f"{prefix}{name}.", child.state)
            for name, child in dict.items(attributes[_MODULES])
            if isinstance(child, StandIn) and _is_module(child.state)
        ]
        todo += below[::-1]


def _safetensors(state_dict: StateDict) -> dict[str, Tensor]:
    """The chosen tensors, read from memory by safetensors' own library, which copies them: memory holds both."""
    from safetensors.torch import load as load_safetensors

    fd = state_dict.checkpoint.fd
    found = load_safetensors(b"".join(blocks(fd, 0, os.fstat(fd).st_size, 1 << 30)))
    names = [(part, name) for part in state_dict.parts for name in found if part.takes(name)]
    return {part.renamed(name): found[name] for part, name in names}
