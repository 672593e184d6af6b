"""A stack machine for the opcodes of Python's pickle protocols 0 to 5 that makes only plain values.

Each opcode is one step. A damaged pickle may raise anything; see :mod:`pickles`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ast2hf.checkpoint import rebuilding
from ast2hf.checkpoint.container import HINT_RESAVE
from ast2hf.checkpoint.opaque import Opaque, UnusualKey, is_writable
from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
from ast2hf.errors import InputError, printable

MAX_STEPS = 500_000
"""About a second. The pickle of a base model takes 5,000 steps, with Adam's state 20,000, a pickled module 15,000."""

_MAX_KEY = 1 << 24
"""Largest number used as a key. Larger ones could be chosen so that a dict takes quadratic time."""

_MAX_KEY_TEXT = 1000
"""Characters of a key. A long one could be the name of many tensors and would be read for each of them."""

_MAX_BITS = 4096
"""Bits of a whole number. Random generators use numbers of 128 bits."""

_PROTOCOLS = 5


class StackMachine:
    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below_marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}
        self.tensors: list[TensorMeta] = []

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        return self.stack.pop()

    def mark(self, _: object) -> None:
        self.below_marks.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[object]:
        items, self.stack = self.stack, self.below_marks.pop()
        return items

    def discard(self, _: object) -> None:
        if self.stack:
            self.pop()
        else:
            self.pop_to_mark()

    def protocol(self, version: int) -> None:
        if version > _PROTOCOLS:
            raise ValueError(f"unsupported pickle protocol: {version}")

    def number(self, value: int) -> None:
        if value.bit_length() > _MAX_BITS:
            raise InputError(f"the checkpoint's pickle has a number of {value.bit_length():,} bits", HINT_RESAVE)
        self.push(value)

    def python2_text(self, value: str) -> None:
        self.push(value if value.isascii() else Opaque("builtins.bytes", (value,)))

    def put(self, index: int) -> None:
        if index >= MAX_STEPS:  # other readers allocate all smaller ones
            raise InputError(f"the checkpoint's pickle has a memo entry {index:,}", HINT_RESAVE)
        self.memo[index] = self.stack[-1]

    def memoize(self, _: object) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def extend(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is Opaque and not target.is_reference:
            target.elements = target.elements or []
            target.elements.extend(items)
        elif type(target) is list:
            target.extend(items)
        else:
            raise ValueError("append to something that is not a list")

    def update(self, items: list[object]) -> None:
        target = self.stack[-1]
        if type(target) is Opaque and not target.is_reference:
            target.entries = target.entries or {}
            target = target.entries
        if type(target) is not dict or len(items) % 2:
            raise ValueError("item set on something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            text = type(key) is str and len(key) <= _MAX_KEY_TEXT and is_writable(key)
            usual = text or (type(key) is int and 0 <= key < _MAX_KEY)
            target[key if usual else UnusualKey(type(key).__name__)] = value

    def dict_from_mark(self, _: object) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.update(items)

    def set_item(self, _: object) -> None:
        value, key = self.pop(), self.pop()
        self.update([key, value])

    def build(self, _: object) -> None:
        state, target = self.pop(), self.stack[-1]
        if type(target) is dict:
            return  # the attributes of a state dict: the versions of its modules
        if type(target) is not Opaque or target.is_reference or target.state is not None:
            raise ValueError("state of something that has none")
        target.state = state

    def persistent(self, _: object) -> None:
        made = rebuilding.stored(self.pop())
        if type(made) is Storage and self.storages.setdefault(made.key, made) != made:
            raise InputError(
                f"the checkpoint describes storage {printable(made.key, 40)} in two different ways", HINT_RESAVE
            )
        self.push(made)

    def call(self, function: object, arguments: object) -> None:
        made = rebuilding.call(function, arguments)
        if type(made) is TensorMeta:
            self.tensors.append(made)
        self.push(made)

    def reduce(self, _: object) -> None:
        arguments, function = self.pop(), self.pop()
        self.call(function, arguments)

    def new_with_keywords(self, _: object) -> None:
        keywords, arguments, kind = self.pop(), self.pop(), self.pop()
        self.call(kind, arguments)
        if type(made := self.stack[-1]) is Opaque and type(keywords) is dict:
            made.entries = keywords

    def new_from_mark(self, _: object) -> None:
        kind, *arguments = self.pop_to_mark()
        self.call(kind, tuple(arguments))

    def instance(self, name: str) -> None:
        arguments = self.pop_to_mark()
        self.call(rebuilding.reference(*name.split(" ", 1)), tuple(arguments))

    def reference(self, name: str) -> None:
        self.push(rebuilding.reference(*name.split(" ", 1)))

    def stack_reference(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        self.push(rebuilding.reference(module, name))


def _nothing(machine: StackMachine, _: object) -> None:
    pass


def _tuple(machine: StackMachine, _: object) -> None:
    machine.push(tuple(machine.pop_to_mark()))


STEPS: dict[str, Callable[[StackMachine, Any], None]] = {
    **dict.fromkeys(("FRAME", "STOP"), _nothing),
    "PROTO": StackMachine.protocol,
    **dict.fromkeys(
        (
            "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
            "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
        ),
        StackMachine.push,
    ),
    **dict.fromkeys(("INT", "LONG", "LONG1", "LONG4"), StackMachine.number),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), StackMachine.python2_text),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    # A set is read as a list of its elements.
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine, _: machine.push([])),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "MARK": StackMachine.mark,
    **dict.fromkeys(("LIST", "FROZENSET"), lambda machine, _: machine.push(machine.pop_to_mark())),
    "DICT": StackMachine.dict_from_mark,
    "TUPLE": _tuple,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), StackMachine.put),
    "MEMOIZE": StackMachine.memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), StackMachine.get),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "POP": StackMachine.discard,
    "POP_MARK": lambda machine, _: _nothing(machine, machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_to_mark())),
    "SETITEM": StackMachine.set_item,
    "SETITEMS": lambda machine, _: machine.update(machine.pop_to_mark()),
    "BINPERSID": StackMachine.persistent,
    "GLOBAL": StackMachine.reference,
    "STACK_GLOBAL": StackMachine.stack_reference,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), StackMachine.reduce),
    "NEWOBJ_EX": StackMachine.new_with_keywords,
    "OBJ": StackMachine.new_from_mark,
    "INST": StackMachine.instance,
    "BUILD": StackMachine.build,
}  # fmt: skip
"""The action of each opcode, by its name in :mod:`pickletools`. Missing ones need a registry or a second file."""
