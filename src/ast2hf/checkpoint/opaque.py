"""What a pickle describes and nobody here makes: objects of classes that are not ours, left as they were written."""

from __future__ import annotations


class Opaque:
    """An object that was left unread, or the class or function ``name`` itself, whose ``args`` are then None.

    ``args``: what it would have been called with. ``state``: what would have become its attributes. ``elements`` and
    ``entries``: what would have been appended to it, and set by key. Two are equal only if they are the same.
    """

    __slots__ = ("args", "elements", "entries", "name", "state")

    def __init__(self, name: str, args: object = None) -> None:
        self.name = name
        self.args = args
        self.state: object = None
        self.elements: list[object] | None = None
        self.entries: dict[object, object] | None = None

    @property
    def is_reference(self) -> bool:
        """Whether this is the class or function itself."""
        return self.args is None

    def __repr__(self) -> str:
        return f"<{self.name}, left unread>"


class UnusualKey:
    """In the place of a dict key that is neither a small number nor text that can be a name. Each is a key of its own.

    The real one is not kept: to hash a nested tuple can take for ever, or overflow the stack.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"a dict key of type {self.kind}"


def is_writable(text: str) -> bool:
    """Whether ``text`` can be written in UTF-8, as a report is. Half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


ODD_TENSORS = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without values (device meta)",
    "torch._utils._rebuild_tensor_v2": "a tensor that has the negative or conjugate bit set",
    "torch._utils._rebuild_tensor_v3": "a tensor of a type that is newer than AST (such as float8 or uint16)",
    "safetensors.tensor": "a tensor of a type that is newer than AST (such as float8 or uint16)",
}
"""Tensors that no model here can use, by what would make them."""


def odd_tensor(value: object) -> str | None:
    """What kind of tensor ``value`` is, where it is one of ODD_TENSORS."""
    return ODD_TENSORS.get(value.name) if type(value) is Opaque and not value.is_reference else None
