"""From data set repositories on the Hub: small files, through huggingface_hub and its cache, and the first clip."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ast2hf import local_files
from ast2hf.config import HubFile, HubRow
from ast2hf.errors import DownloadError, InputError, printable

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def fetch(file: HubFile, what: str, instead: str) -> Path:
    """The local copy of ``file``; the Hub is asked only for what is not in the cache.

    ``what`` and ``instead`` serve the error.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        return Path(hf_hub_download(file.repo, file.filename, repo_type="dataset", local_files_only=True))
    try:
        _reach(file)
        return Path(hf_hub_download(file.repo, file.filename, repo_type="dataset"))
    except Exception as error:  # httpx, OSError and huggingface_hub's own: all mean that the file is not to be had
        raise _unreachable(f"{what} {file.filename} of {file.repo}", error, instead) from error


def model_folder(folder: str, names: Collection[str]) -> Path:
    """``folder`` itself, or of a Hub id like ``MIT/ast-finetuned-speech-commands-v2`` a local copy of its files.

    ``names``: the files that are needed. Raises InputError where it is neither, DownloadError.
    """
    path = local_files.expand(folder)
    if path.is_dir():
        return path
    if not _REPO_ID.fullmatch(folder):
        raise InputError(f"folder {printable(folder)} does not exist", "give a model folder, or a Hub id like MIT/name")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(folder, allow_patterns=list(names)))
    except Exception as error:  # httpx, OSError and huggingface_hub's own: all mean that the files cannot be had
        raise _unreachable(f"folder {folder}", error, "a folder on this machine as folder=PATH") from error


def first_clip(row: HubRow, cache: Path, instead: str) -> bytes:
    """The encoded audio of the first row of a split, streamed, and then kept in ``cache``."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{row.repo}-{row.config}-{row.split}-{row.revision}")
    path = cache / "clips" / name
    with suppress(FileNotFoundError):
        return path.read_bytes()
    content = _stream_first(row, instead)
    with suppress(OSError):  # then the next run streams it again
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{name}.{os.getpid()}.new")
        new.write_bytes(content)
        new.replace(path)
    return content


def _stream_first(row: HubRow, instead: str) -> bytes:
    from datasets import Audio, load_dataset

    try:
        # By path: the branch that the Hub converts to Parquet has a folder for each config, but does not declare them.
        files = {row.split: f"{row.config}/{row.split}/*.parquet"}
        rows = load_dataset(row.repo, data_files=files, split=row.split, revision=row.revision, streaming=True)
        # decode=False: the bytes as they are. Decoding in datasets needs torchcodec and FFmpeg.
        content: bytes = next(iter(rows.cast_column("audio", Audio(decode=False))))["audio"]["bytes"]
    except Exception as error:  # datasets lets the errors of a dozen libraries through
        raise _unreachable(f"the first clip of {row.repo} {row.config}", error, instead) from error
    return content


def _reach(file: HubFile) -> None:
    """Raise what hinders, in a few seconds: hf_hub_download asks a Hub that is not there six times, over 23 s."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(3) | stop_after_delay(10),
        wait=wait_exponential(multiplier=0.5),
        reraise=True,
    )
    retrying(get_hf_file_metadata, hf_hub_url(file.repo, file.filename, repo_type="dataset"))


def _may_pass(error: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = getattr(getattr(error, "response", None), "status_code", 500)
    return not isinstance(error, OfflineModeIsEnabled) and (status == 429 or status >= 500)


def _unreachable(what: str, error: Exception, instead: str) -> DownloadError:
    return DownloadError(
        f"{what} cannot be fetched from the Hugging Face Hub ({type(error).__name__}: {printable(error, 120)})",
        f"check the network, or give {instead}",
    )
