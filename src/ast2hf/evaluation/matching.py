"""Matches the labels of a data set with those of the model: by name or mid, never by the index in another list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ast2hf import labels as label_files
from ast2hf import local_files
from ast2hf.errors import InputError, printable
from ast2hf.evaluation import lists

Field = str | int | Iterable[str | int] | None
"""The labels of a clip in a data set: a text, which may name several; its index there; or a list of either."""

_SHOWN = 5
"""How many labels an error names."""

_NAMELESS = re.compile(r"LABEL_\d+")
"""What transformers calls the classes of a model without labels."""

_MID = re.compile(r"/[a-z]/[\w-]+")
"""An identifier of the Knowledge Graph, as AudioSet uses for its classes: /m/09x0r."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set by their index there, as ``data.labels`` has them. ``mids``: empty if it has none."""

    names: tuple[str, ...] = ()
    mids: tuple[str, ...] = ()


def read_classes(file: str) -> Classes:
    """The classes in a CSV with the columns index, mid, display_name; or in another label file, without mids."""
    path = local_files.expand(file)
    remedy = "set data.labels=PATH to a CSV with the columns index, mid, display_name"
    text = lists.read_text(path, "label file", remedy)
    names = label_files.parse(text.encode(), path.name)
    if not text.lstrip().startswith(("{", "[")) and "mid" in text.partition("\n")[0].strip().split(","):
        rows = [row for _, row in lists.csv_rows(text, path.name)]
        mids = {int(row.get("index") or row["id"]): row["mid"].strip() for row in rows}
        again = next((mid for mid, times in Counter(mids.values()).items() if mid and times > 1), None)
        if again is not None:
            raise InputError(
                f"{printable(path.name)} has the mid {printable(again, 40)} twice", "correct the label file"
            )
        return Classes(names, tuple(mids[i] for i in range(len(names))))
    return Classes(names)


class Matcher:
    """Finds the model's classes for the labels of a data set, and collects the labels that it cannot find.

    A name is compared exactly; only if no label is equal, it is compared ignoring case, spaces and underscores, and
    accepted if a single label matches. ``file``: ``data.labels``. ``own_file``: that of ``labels``, of which only the
    mids are used: an index of a data set says nothing about them. Raises InputError if the model has two labels of one
    name.
    """

    def __init__(self, labels: tuple[str, ...], file: str | None, own_file: str | None = None) -> None:
        again = next((label for label, times in Counter(labels).items() if times > 1), None)
        if again is not None:
            raise InputError(
                f"the model has several classes called {printable(again, 60)}",
                "give each a name of its own in id2label of its config.json",
            )
        self._labels = labels
        self._has_file = file is not None
        self._exact: dict[str, int | None] = {label: index for index, label in enumerate(labels)}
        self._loose = _loose(enumerate(labels))
        self._by_index: list[int | None] = []
        own_classes = read_classes(own_file) if own_file is not None else Classes()
        for index, own_mid in enumerate(own_classes.mids if own_classes.names == labels else ()):
            self._exact.setdefault(own_mid, index)
        classes = read_classes(file) if file is not None else Classes()
        own = dict(self._exact)  # an alias, which is added below, is no label of the model
        for name, mid in zip(classes.names, classes.mids or [""] * len(classes.names), strict=True):
            found = own[mid] if mid in own else self._name(name)
            self._by_index.append(found)
        for aliases in filter(None, (classes.names, classes.mids, [*map(str, range(len(classes.names)))])):
            for alias, found in zip(aliases, self._by_index, strict=True):
                self._exact.setdefault(alias, found)
        self._exact.pop("", None)  # a class without a mid
        self._most = 1 + max((text.count(",") for text in self._exact), default=0)
        self._unknown: Counter[str | int] = Counter()
        self._loosely: dict[str, str] = {}

    def find(self, field: Field) -> tuple[int, ...]:
        """The model's classes that ``field`` names, in order. Unknown labels are kept for :meth:`require_all`."""
        if field is None:
            return ()
        if isinstance(field, str):
            wanted: Iterable[str | int] = self._several(field)
        else:
            wanted = [field] if isinstance(field, int) else field
        found = set()
        for label in wanted:
            index = self._one(label)
            if index is None:
                self._unknown[label.strip() if isinstance(label, str) else label] += 1
            else:
                found.add(index)
        return tuple(sorted(found))

    @property
    def known(self) -> list[object]:
        """All by which classes are found, for JSON: by name, and by index of the data set."""
        return [self._exact, self._by_index]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of the labels so far."""
        if not self._loosely:
            return ()
        shown = "; ".join(f"{printable(a, 40)} as {printable(b, 40)}" for a, b in islice(self._loosely.items(), _SHOWN))
        more = "; …" if len(self._loosely) > _SHOWN else ""
        return (f"labels matched ignoring case, spaces and underscores: {shown}{more}",)

    def require_all(self, name: str) -> None:
        """Raise InputError if a label of the data set ``name`` was not found; the error names the first ones."""
        if not self._unknown:
            return
        count, times = len(self._unknown), self._unknown.total()
        shown = ", ".join(printable(label, 60) for label in islice(self._unknown, _SHOWN))
        more = f", and {count - _SHOWN:,} more" if count > _SHOWN else ""
        found = "once" if times == 1 else f"{times:,} times"
        own = ", ".join(printable(label, 40) for label in self._labels[:3])
        raise InputError(
            f"{count:,} label{'s' * (count > 1)} of {printable(name)} {'are' if count > 1 else 'is'} not among the "
            f"model's: {shown}{more} (found {found}, while the model has {own}, …)",
            self._remedy(),
        )

    def _remedy(self) -> str:
        if all(_NAMELESS.fullmatch(label) for label in self._labels):
            return "set labels=PATH to the label file of the model's training"
        by_number = all(isinstance(u, int) or u.isdecimal() or _MID.fullmatch(u) for u in self._unknown)
        if by_number and not self._has_file:
            return "set data.labels=PATH to the CSV that names them, with the columns index, mid, display_name"
        return "correct the labels, name them with data.labels=PATH, or choose the clips with data.ids=PATH"

    def _one(self, label: str | int) -> int | None:
        if isinstance(label, int):
            return self._by_index[label] if 0 <= label < len(self._by_index) else None
        return self._name(label)

    def _name(self, label: str) -> int | None:
        text = _bare(label)
        if text in self._exact:
            return self._exact[text]
        index = self._loose.get(_key(text))
        if index is not None:
            self._loosely[text] = self._labels[index]
        return index

    def _is_one(self, text: str) -> bool:
        """Whether ``text`` is one label: of the model, or of the data set alone, which then is not found."""
        return _bare(text) in self._exact or self._name(text) is not None

    def _several(self, text: str) -> Iterator[str]:
        """The labels in ``text``: all of it if it is one, else split at ``;``, ``|`` and commas outside names."""
        if not text.strip():
            return
        if self._is_one(text):
            yield text
            return
        for part in re.split(r"[;|]", text):
            pieces = part.split(",")
            start = 0
            while start < len(pieces):
                ends = range(min(len(pieces), start + self._most), start, -1)
                joined = (",".join(pieces[start:end]) for end in ends)
                end, label = next(
                    ((e, j) for e, j in zip(ends, joined, strict=True) if self._is_one(j)),
                    (start + 1, pieces[start]),
                )
                if label.strip():
                    yield label
                start = end


def _loose(labels: Iterable[tuple[int, str]]) -> dict[str, int | None]:
    """By :func:`_key`; None if several labels share a key."""
    found: dict[str, int | None] = {}
    for index, label in labels:
        key = _key(label)
        found[key] = None if key in found else index
    return found


def _bare(text: str) -> str:
    return text.strip().removeprefix('"').removesuffix('"').strip()


def _key(text: str) -> str:
    return " ".join(text.replace("_", " ").casefold().split())
