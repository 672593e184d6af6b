"""Small files of data set repositories on the Hub, through huggingface_hub and its cache."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ast2hf.config import HubFile
from ast2hf.errors import DownloadError, printable


def fetch(file: HubFile, what: str, instead: str) -> Path:
    """The local copy of ``file``; the Hub is asked only for what is not in the cache.

    ``what`` and ``instead`` serve the error.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(LocalEntryNotFoundError):
        return Path(hf_hub_download(file.repo, file.filename, repo_type="dataset", local_files_only=True))
    try:
        return Path(hf_hub_download(file.repo, file.filename, repo_type="dataset"))
    except Exception as error:  # httpx, OSError and huggingface_hub's own: all mean that the file is not to be had
        raise unreachable(f"{what} {file.filename} of {file.repo}", error, instead) from error


def unreachable(what: str, error: Exception, instead: str) -> DownloadError:
    return DownloadError(
        f"{what} cannot be fetched from the Hugging Face Hub ({type(error).__name__}: {printable(error, 120)})",
        f"check the network, or give {instead}",
    )
