"""Push a published folder to the Hugging Face Hub: the files of the model, in one commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ast2hf.config import Hub
from ast2hf.errors import HubError, printable
from ast2hf.formats.huggingface import names

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FILES = names.PUBLISHED
"""All that is ever sent, whatever else lies in the folder."""

ATTEMPTS = 3
"""Of each step. Of some requests huggingface_hub itself makes up to six: of those for the upload, which is not begun
again after that."""

TIMEOUT = 60.0
"""Seconds without a byte after which a request is given up; huggingface_hub would wait for ever."""

_TOKEN = "set HF_TOKEN to a token that may write there (huggingface.co/settings/tokens), or log in with: hf auth login"

_REMEDIES = {
    401: _TOKEN,
    403: _TOKEN,
    404: f"check hub.repo_id, or {_TOKEN}",
    412: "somebody else has committed meanwhile: see that nothing is lost",
}

_T = TypeVar("_T")


def check() -> None:
    """Raise HubError where a push would fail for certain, before any work is done for it. Asks nobody."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise HubError("hub=push needs the network, and HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    try:
        token = get_token()
    except Exception as error:  # where HF_OIDC_RESOURCE is set, it asks for one, and tells of any failure so
        raise HubError(f"no token is to be had ({_told(error)})", _TOKEN) from error
    if token is None:
        raise HubError("hub=push needs a token of the Hugging Face Hub", _TOKEN)


def push(target: Path, settings: Hub) -> str:
    """Commit the files of the folder ``target``; return the address of the repository and the commit's hash.

    What the Hub already has is not sent again, and nothing new makes no commit. Raises HubError; the folder is not
    touched.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    try:
        return _push(api, target, settings)
    except Exception as error:  # those of huggingface_hub, its HTTP client and hf_xet have no common base
        raise _not_pushed(error, target, settings) from error


def _push(api: HfApi, target: Path, settings: Hub) -> str:
    from huggingface_hub import CommitOperationAdd

    assert settings.repo_id is not None
    wanted = settings.repo_id
    repo = _insist(lambda: api.create_repo(wanted, private=settings.private, exist_ok=True).repo_id)
    parent = _insist(lambda: _head(api, repo, settings.revision))
    # An attempt whose answer was lost has made the commit. The next one begins anew, and so learns from the Hub that
    # nothing is left to send; and as all have the same parent, a commit of somebody else's in between is noticed.
    commit = _insist(
        lambda: api.create_commit(
            repo,
            [CommitOperationAdd(name, target / name) for name in FILES],
            commit_message=settings.commit_message,
            revision=settings.revision,
            parent_commit=parent,
        )
    )
    branch = "" if settings.revision == "main" else f"/tree/{settings.revision}"
    return f"{api.endpoint}/{repo}{branch} (commit {commit.oid})"


def _head(api: HfApi, repo: str, revision: str) -> str | None:
    """The commit that ``revision`` is at. A branch that does not exist is made, from the default one."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return api.model_info(repo, revision=revision).sha
    except RevisionNotFoundError:
        api.create_branch(repo, branch=revision)
        return api.model_info(repo, revision=revision).sha


def _insist(step: Callable[[], _T]) -> _T:
    """What ``step`` returns, tried again where what failed may pass."""
    from huggingface_hub.utils import get_session
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    def attempt() -> _T:
        get_session().timeout = TIMEOUT  # each time: after a refused connection there is a new session
        return step()

    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=10),
        reraise=True,
    )(attempt)


def _may_pass(error: BaseException) -> bool:
    if _source(error) is not error:
        return False
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    return not isinstance(error, ValueError)  # of an answer that makes no sense, or a file that is not there


def _status(error: BaseException) -> int | None:
    """Of the Hub's answer; None where there was none."""
    response = getattr(_source(error), "response", None)
    return None if response is None else int(response.status_code)


def _source(error: BaseException) -> BaseException:
    """huggingface_hub wraps what went wrong in the upload of a large file."""
    return error.__cause__ if type(error) is RuntimeError and error.__cause__ else error


def _not_pushed(error: Exception, target: Path, settings: Hub) -> HubError:
    remedy = _REMEDIES.get(_status(error) or 0, "check the network and what is said here")
    return HubError(
        f"saved locally, not pushed to {printable(settings.repo_id)} ({_told(error)})",
        f"{remedy}; to push {printable(target)} as it is, give the same command with skip_existing=true",
    )


def _told(error: BaseException) -> str:
    """What the Hub says, without the addresses and identifiers that huggingface_hub adds."""
    status, source = _status(error), _source(error)
    if status is None:
        return f"{printable(type(source).__name__)}: {printable(source, 160)}"
    said = printable(getattr(source, "server_message", None) or "", 160)
    return f"status {status}: {said}" if said else f"status {status}"
