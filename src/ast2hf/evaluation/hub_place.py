"""The location of a data set that the datasets library loads, and how it is read.

The library would decode audio with torchcodec and FFmpeg, so it is passed on encoded. Since version 4, the oldest that
this package accepts, it does not run code that comes with a data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from ast2hf import local_files
from ast2hf.config import Data
from ast2hf.errors import Ast2hfError, DownloadError, InputError, printable

_REMEDY = "set data.path to a folder, or to the Hub id of a data set such as ashraq/esc50"


PARQUET = "refs/convert/parquet"
"""The branch on which the Hub keeps every data set as Parquet files: a folder for each configuration, which it does not
declare."""

_ADDRESS = re.compile(r"([^@:]*)(?:@([^:]*))?(?::(.*))?", re.DOTALL)


class Place:
    """Where the data set is. ``root``: its folder on this machine, or None if it is on the Hub.

    On the Hub it is ``ID``, ``ID@REVISION``, ``ID:CONFIGURATION`` or ``ID@REVISION:CONFIGURATION``.
    """

    def __init__(self, data: Data) -> None:
        assert data.path is not None
        self.data = data
        path = local_files.expand(data.path)
        self.root = path if local_files.is_there(path) else None
        match = _ADDRESS.fullmatch(data.path)
        assert match is not None
        self.id: str = match[1] if self.root is None else str(path.absolute())  # "csv" would be a format, not a folder
        self.revision: str | None = match[2] if self.root is None else None
        self.configuration: str | None = match[3] if self.root is None else None
        self.name = printable(path.absolute().name if self.root else data.path)
        if self.root is not None and not local_files.is_folder(path):
            raise InputError(f"data.path {printable(path)} is not a folder", "use its folder, or data=manifest")
        if self.root is None and (self.id.startswith((".", "/", "~")) or self.id.count("/") > 1):
            raise InputError(f"data.path {printable(self.id)} does not exist", _REMEDY)

    def split(self, splits: Mapping[str, object]) -> str:
        """The split to use: the chosen one, or the only one. Raises InputError."""
        wanted = self.data.split
        if wanted is None and len(splits) == 1:
            return str(next(iter(splits)))
        if wanted is not None and (wanted in splits or not splits):
            return wanted
        said = "has several splits" if wanted is None else f"has no split {printable(wanted, 40)}"
        shown = ", ".join(printable(name, 40) for name in splits) or "unknown"
        raise InputError(f"{self.name} {said}", f"set data.split to one of: {shown}")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the errors of the library, and those below it, into ours."""
        try:
            yield
        except Ast2hfError:
            raise
        except Exception as error:  # datasets passes on the errors of a dozen libraries
            cause: BaseException = error
            while type(cause).__name__ == "DatasetGenerationError" and cause.__cause__ is not None:
                cause = cause.__cause__
            what = f"({type(cause).__name__}: {printable(cause, 160)})"
            if self.root is not None:
                raise InputError(f"{self.name} cannot be read as a data set {what}", _LOCAL) from error
            if "Dataset scripts are no longer" in str(cause):
                raise InputError(
                    f"{self.name} is distributed as code, which is not run",
                    f"set data.path={self.id}@{PARQUET}:CONFIGURATION, where the Hub keeps it as files",
                ) from error
            if "Config name is missing" in str(cause):
                raise InputError(
                    f"{self.name} has several configurations {what}", f"choose one: data.path={self.name}:CONFIGURATION"
                ) from error
            raise DownloadError(
                f"data set {self.name} cannot be downloaded from the Hugging Face Hub {what}", _HUB
            ) from error


_LOCAL = "use a folder with metadata.csv, with a folder for each class, or with Parquet files that contain the audio"
_HUB = "check its name and the network, or set data.path to a folder on this machine"


def builder(where: Place) -> Any:
    """The library's builder for it."""
    from datasets import load_dataset_builder
    from datasets.packaged_modules.folder_based_builder.folder_based_builder import FolderBasedBuilder

    key = "data_dir" if where.revision == PARQUET else "name"
    found = load_dataset_builder(where.id, revision=where.revision, **{key: where.configuration})
    if isinstance(found, FolderBasedBuilder):
        found.BASE_FEATURE = encoded()
    return found


@cache
def encoded() -> Any:
    """The type of an audio column that stays encoded, both when it is read and when it is passed on."""
    from datasets import Audio

    class Encoded(Audio):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(decode=False)

        def encode_example(self, value: Any) -> dict[str, Any]:
            """Encode without torchcodec, which the library requires even if there is nothing to encode."""
            return value if isinstance(value, dict) else {"bytes": None, "path": str(value)}

    return Encoded
