"""Push a model folder to the Hugging Face Hub: the files of the model, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ast2hf.config import Hub
from ast2hf.errors import HubError, printable
from ast2hf.formats.huggingface import names
from ast2hf.output.up_to_date import is_synthetic, model_files
from ast2hf.retrying import retrying, root_cause, status

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ATTEMPTS = 3
"""Attempts for each step. huggingface_hub itself retries some requests up to six times, including uploads of large
files, which are therefore not repeated here."""

TIMEOUT = 60.0
"""Seconds without a byte after which a request fails; by default huggingface_hub waits forever."""

_HINT_TOKEN = (
    "set HF_TOKEN to a token with write access (huggingface.co/settings/tokens), or log in with: hf auth login"
)

_REMEDIES = {
    401: _HINT_TOKEN,
    403: _HINT_TOKEN,
    404: f"check hub.repo_id, or {_HINT_TOKEN}",
    412: "check the commit that someone else has made in the meantime, so that nothing gets lost",
}

_T = TypeVar("_T")


def check() -> None:
    """Raise HubError if a push is certain to fail, before any work is done. No network access."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise HubError("hub=push needs network access, but HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    try:
        token = get_token()
    except Exception as error:  # with HF_OIDC_RESOURCE, get_token requests one, which can fail in many ways
        raise HubError(f"could not obtain a Hugging Face token ({_describe(error)})", _HINT_TOKEN) from error
    if token is None:
        raise HubError("hub=push needs a Hugging Face token", _HINT_TOKEN)


def push(target: Path, settings: Hub, card: bytes | None = None) -> str:
    """Commit the files of the folder ``target``; return the URL of the repository and the commit's hash.

    Only the files of the model, the card and the report are sent, whatever else is in the folder.
    ``card``: sent as README.md instead of the one in the folder, whose snippet may name a local folder.

    Files that the Hub already has are not sent again, and without changes there is no commit. Raises HubError; the
    folder remains unchanged.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        with _no_progress_bars():
            return _push(api, target, settings, card)
    except HubError:
        raise
    except Exception as error:  # those of huggingface_hub, its HTTP client and hf_xet have no common base
        raise _not_pushed(error, target, settings) from error


def _push(api: HfApi, target: Path, settings: Hub, card: bytes | None) -> str:
    from huggingface_hub import CommitOperationAdd

    assert settings.repo_id is not None
    requested = settings.repo_id
    content: dict[str, Path | bytes] = {
        name: target / name for name in (*model_files(target), names.CARD, names.REPORT)
    }
    if card is not None:
        content[names.CARD] = card
    repo = _retry(lambda: api.create_repo(requested, private=settings.private, exist_ok=True).repo_id)
    if is_synthetic(target) and not _retry(lambda: api.model_info(repo).private):
        raise HubError(
            f"saved locally, not pushed: {printable(repo)} is public, and the weights are synthetic",
            "set hub.repo_id=… to another repository, or checkpoint=… to trained weights",
        )
    parent = _retry(lambda: _head(api, repo, settings.revision))
    # If the answer to an attempt was lost, the commit may exist; the next attempt then learns from the Hub that nothing
    # is left to send. As all attempts name the same parent, a commit by someone else in between is refused with 412.
    commit = _retry(
        lambda: api.create_commit(
            repo,
            [CommitOperationAdd(name, source) for name, source in content.items()],
            commit_message=settings.commit_message,
            revision=settings.revision,
            parent_commit=parent,
        )
    )
    branch = "" if settings.revision == "main" else f"/tree/{settings.revision}"
    return f"{api.endpoint}/{repo}{branch} (commit {commit.oid})"


def _head(api: HfApi, repo: str, revision: str) -> str | None:
    """The commit of ``revision``. A branch that does not exist is created from the default one."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return api.model_info(repo, revision=revision).sha
    except RevisionNotFoundError:
        api.create_branch(repo, branch=revision)
        return api.model_info(repo, revision=revision).sha


def _retry(step: Callable[[], _T]) -> _T:
    """The result of ``step``, repeated after transient errors."""
    from tenacity import stop_after_attempt

    def attempt() -> _T:
        with _bounded_silence():
            return step()

    return retrying(stop_after_attempt(ATTEMPTS))(attempt)


@contextmanager
def _bounded_silence() -> Iterator[None]:
    """Make requests of huggingface_hub fail after TIMEOUT; for most of them its API takes no timeout."""
    from huggingface_hub.utils import get_session

    session = get_session()  # once per attempt: a refused connection is followed by a new session
    before = getattr(session, "timeout", None)
    session.timeout = TIMEOUT
    try:
        yield
    finally:
        session.timeout = before


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _not_pushed(error: Exception, target: Path, settings: Hub) -> HubError:
    remedy = _REMEDIES.get(status(error) or 0, "check the reason given and the network")
    return HubError(
        f"saved locally, not pushed to {printable(settings.repo_id)} ({_describe(error)})",
        f"{remedy}; to push {printable(target)} as it is, rerun the same command with skip_existing=true",
    )


def _describe(error: BaseException) -> str:
    """The Hub's message, without the URLs and request identifiers that huggingface_hub adds."""
    code, cause = status(error), root_cause(error)
    if code is None:
        return f"{printable(type(cause).__name__)}: {printable(cause, 160)}"
    message = printable(getattr(cause, "server_message", None) or "", 160)
    return f"status {code}: {message}" if message else f"status {code}"
