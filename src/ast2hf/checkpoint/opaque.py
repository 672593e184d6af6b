"""Objects of foreign classes in a pickle: never instantiated, only described as they were written."""

from __future__ import annotations


class Opaque:
    """An object that was left unread, or (if ``args`` is None) the class or function ``name`` itself.

    ``args``: the arguments it would have been called with. ``state``: its would-be attributes. ``elements`` and
    ``entries``: items that would have been appended, and set by key. Compared by identity.
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
    """Replaces a dict key that is neither a small number nor text usable as a name. Each instance is a distinct key.

    The real key is not kept, because hashing a nested tuple can take forever or overflow the stack.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"a dict key of type {self.kind}"


def is_writable(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8, like a report. Half of a surrogate pair cannot."""
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
    "torch._utils._rebuild_tensor_v3": "a tensor with an unsupported dtype (such as float8 or uint16)",
    "safetensors.tensor": "a tensor with an unsupported dtype (such as float8 or uint16)",
}
"""Tensors that no model here can use, keyed by the function that would create them."""


def odd_tensor(value: object) -> str | None:
    """The kind of tensor, in words, if ``value`` is one of ODD_TENSORS; else None."""
    return ODD_TENSORS.get(value.name) if type(value) is Opaque and not value.is_reference else None
