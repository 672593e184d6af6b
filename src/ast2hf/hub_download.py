"""Downloads from the Hub: small files and model folders, cached by huggingface_hub, and a data set's first clip."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ast2hf import local_files
from ast2hf.config import HubFile, HubRow
from ast2hf.errors import DownloadError, InputError, printable
from ast2hf.local_files import write_atomically
from ast2hf.retrying import retrying

MAX_CLIP = 1 << 30
"""Largest clip in the cache, in bytes."""

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def fetch(file: HubFile, what: str, hint: str) -> Path:
    """The local copy of ``file``, downloaded if it is not in the cache. Raises DownloadError.

    The error contains ``what`` (a description of the file) and ``hint`` (the setting to use instead).
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        return Path(hf_hub_download(file.repo, file.filename, repo_type="dataset", local_files_only=True))
    try:
        _check_reachable(file)
        return Path(hf_hub_download(file.repo, file.filename, repo_type="dataset"))
    except Exception as error:  # HTTP client, file system and huggingface_hub have no common base class
        raise _unreachable(f"{what} {file.filename} of {file.repo}", error, hint) from error


def model_folder(folder: str, names: Collection[str]) -> Path:
    """``folder`` itself, or for a Hub id like ``MIT/ast-finetuned-speech-commands-v2`` a local copy of its files.

    ``names``: the files that are needed. Raises InputError if it is neither, DownloadError.
    """
    path = local_files.expand(folder)
    if local_files.is_folder(path):
        return _with_files(path, names)
    if not _REPO_ID.fullmatch(folder):
        raise InputError(
            f"folder {printable(folder)} does not exist", "set folder=… to a model folder, or a Hub id like MIT/name"
        )
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(folder, allow_patterns=list(names)))
    except Exception as error:  # HTTP client, file system and huggingface_hub have no common base class
        raise _unreachable(f"folder {folder}", error, "folder=PATH to a local folder") from error
    return _with_files(found, names)


def _with_files(folder: Path, names: Collection[str]) -> Path:
    """``folder``. Raises InputError if one of ``names`` in it is not a file: a library would block on a pipe."""
    for path in (folder / name for name in names):
        try:
            local_files.open_file(path).close()
        except FileNotFoundError:
            continue  # reported where it is needed
        except OSError as error:
            remedy = "set folder=… to a model folder, or a Hub id like MIT/name"
            raise local_files.unreadable(printable(path), error, remedy) from None
    return folder


def stream_first_clip(row: HubRow, cache: Path, hint: str) -> bytes:
    """The encoded audio of the first row of a split, streamed once and kept in ``cache``. Raises DownloadError."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{row.repo}-{row.config}-{row.split}-{row.revision}")
    path = cache / "clips" / name
    with suppress(OSError):  # an unreadable copy is streamed again and replaced
        return local_files.read_file(path, MAX_CLIP)
    content = _stream(row, hint)
    with suppress(OSError):  # then the next run streams it again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return content


def _stream(row: HubRow, hint: str) -> bytes:
    from datasets import Audio, load_dataset

    try:
        # By path: the Hub's Parquet branch has one folder per config, but does not declare the configs.
        files = {row.split: f"{row.config}/{row.split}/*.parquet"}
        rows = load_dataset(row.repo, data_files=files, split=row.split, revision=row.revision, streaming=True)
        # decode=False: the encoded bytes. Decoding in datasets needs torchcodec and FFmpeg.
        content: bytes = next(iter(rows.cast_column("audio", Audio(decode=False))))["audio"]["bytes"]
    except Exception as error:  # datasets passes on the errors of a dozen libraries
        raise _unreachable(f"the first clip of {row.repo} {row.config}", error, hint) from error
    return content


def _check_reachable(file: HubFile) -> None:
    """Raise the error of a request for ``file`` within seconds; hf_hub_download repeats it six times, over 23 s."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from tenacity import stop_after_attempt, stop_before_delay

    url = hf_hub_url(file.repo, file.filename, repo_type="dataset")
    retrying(stop_after_attempt(3) | stop_before_delay(10))(get_hf_file_metadata, url)


def _unreachable(what: str, error: Exception, hint: str) -> DownloadError:
    return DownloadError(
        f"{what} cannot be downloaded from the Hugging Face Hub ({type(error).__name__}: {printable(error, 120)})",
        f"check the network, or set {hint}",
    )
