"""Uploading files to a model repository of the Hugging Face Hub, in one commit; any failure becomes one clear error."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lightune.errors import HubError, LightuneError, RecipeError, shortlist
from lightune.models.hub import ADAPTER_FILES, MODEL_FILES, TIMEOUT_SECONDS, reachable

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

# Together with the question whether the Hub is there, less than ten seconds.
ASKING_SECONDS = TIMEOUT_SECONDS + 1
CREATING_SECONDS = 60
CARD_FILE = "README.md"
TOKENS_PAGE = "huggingface.co/settings/tokens"

T = TypeVar("T")


@dataclass(frozen=True)
class Repository:
    """A model repository by its full name, whether it is there already, and whether it is (or will be) private.

    `files` are the names of the files that it holds.
    """

    name: str
    exists: bool
    is_private: bool
    files: tuple[str, ...] = ()


def require_repository_name(name: str) -> None:
    """Raise RecipeError unless this can be the name of a repository, OWNER/NAME or NAME."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        hint = "Give OWNER/NAME, for example anna/reviews: letters, digits, and - _ . inside."
        raise RecipeError("RECIPE-098", f'"{name}" cannot be the name of a repository.', hint) from error


def find_repository(name: str, private: bool) -> Repository:
    """Return the repository of this name, and whether the user may write to it; without an owner it is the user's own.

    Raises HubError when the Hub cannot be reached within ten seconds, there is no access token, or it may not write
    there; RecipeError when the repository should be private, and is there and public.
    """
    require_repository_name(name)
    if not reachable():
        raise _unreachable()
    try:
        found = _in_time(ASKING_SECONDS, lambda: _ask(name, private))
    except Exception as error:
        raise _explained(error, name) from error
    if private and not found.is_private:
        hint = f"Make it private in its settings on huggingface.co/{found.name}, or choose another name."
        raise RecipeError("RECIPE-099", f"{found.name} is there already, and is public.", hint)
    return found


def _ask(name: str, private: bool) -> Repository:
    """Ask the Hub who the user is, and about the repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api = HfApi()
    told: dict[str, Any] = api.whoami()
    own = [str(told["name"]), *(str(group["name"]) for group in told.get("orgs") or [])]
    full = name if "/" in name else f"{own[0]}/{name}"
    if full.partition("/")[0] not in own or _may_only_read(told):
        raise _not_allowed(full)
    try:
        info = api.model_info(full)
        return Repository(full, True, bool(info.private), tuple(file.rfilename for file in info.siblings or ()))
    except RepositoryNotFoundError:
        return Repository(full, False, private)


def require_no_others(repository: Repository, files: Mapping[str, Any]) -> None:
    """Raise RecipeError where a repository holds files of another model, which would be read with those to upload."""
    read = (*MODEL_FILES, *ADAPTER_FILES)
    others = sorted(name for name in {*repository.files} - {*files} if any(fnmatch(name, kind) for kind in read))
    if others:
        message = f"{repository.name} holds another model: {shortlist(others, 4)}."
        raise RecipeError("RECIPE-097", message, "Choose another name, or delete these files on the Hub first.")


def _may_only_read(told: Mapping[str, Any]) -> bool:
    token = (told.get("auth") or {}).get("accessToken") or {}
    return token.get("role") == "read"


def upload(repository: Repository, files: Mapping[str, Path | bytes], message: str) -> str:
    """Upload exactly these files, by their names in the repository, in one commit; return its address.

    The repository is created where it does not exist. Raises HubError; then no file of it was changed, and where the
    model card is not valid, nothing was created.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants

    api, name = HfApi(), repository.name
    contents = {place: found if isinstance(found, bytes) else str(found) for place, found in files.items()}
    try:
        _require_valid(files[CARD_FILE])
        if not repository.exists:
            private = repository.is_private
            _in_time(CREATING_SECONDS, lambda: api.create_repo(name, private=private))
        operations = [CommitOperationAdd(place, content) for place, content in contents.items()]
        api.create_commit(name, operations, commit_message=message)
    except Exception as error:
        raise _explained(error, name) from error
    return f"{constants.ENDPOINT}/{name}"


def _require_valid(card: Path | bytes) -> None:
    """Let the Hub check the metadata of a model card; HubError with what it says is wrong."""
    from huggingface_hub import ModelCard

    text = (card if isinstance(card, bytes) else card.read_bytes()).decode()
    try:
        ModelCard(text).validate()
    except ValueError as error:
        hint = "If it is the licence: --license takes the Hub's names, e.g. apache-2.0, mit, cc-by-4.0, other."
        raise HubError("HUB-011", f"the Hub refuses the model card: {' '.join(str(error).split())}", hint) from error


def _in_time(seconds: float, ask: Callable[[], T]) -> T:
    """Return what a call returns; TimeoutError when that takes longer, since the library waits without a limit."""
    outcome = queue.SimpleQueue[T | Exception]()

    def work() -> None:
        try:
            outcome.put(ask())
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found


def _explained(error: Exception, name: str) -> LightuneError:
    """Return the error that says why a repository could not be found or written to."""
    from huggingface_hub import errors

    if isinstance(error, LightuneError):
        return error
    if isinstance(error, errors.LocalTokenNotFoundError):
        hint = f"Make one that may write ({TOKENS_PAGE}), then run `hf auth login`, or set HF_TOKEN."
        return HubError("HUB-009", "there is no access token here, and nobody may upload without one.", hint)
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, name)
    if isinstance(error, TimeoutError | ConnectionError) or "Connect" in type(error).__name__:
        return _unreachable()
    cause = " ".join(str(error).split()) or type(error).__name__
    return HubError("HUB-006", f"{name} could not be uploaded ({cause.rstrip('.')}).", "Run it again.")


def _refused(error: HfHubHTTPError, name: str) -> HubError:
    status = error.response.status_code
    if status == 401:
        hint = f"Run `hf auth login` again, or set HF_TOKEN to a token of {TOKENS_PAGE}."
        return HubError("HUB-008", "the Hub does not accept your access token.", hint)
    if status in {403, 404}:
        return _not_allowed(name)
    message = f"the Hub answered {status} when asked about {name}."
    return HubError("HUB-006", message, "Try again later: a commit is made whole or not at all.")


def _not_allowed(name: str) -> HubError:
    hint = f"Use a name of your own or of your organisation, and a token that may write ({TOKENS_PAGE})."
    return HubError("HUB-010", f"your access token may not write to {name}.", hint)


def _unreachable() -> HubError:
    hint = "Connect to the network, and run it again; HF_HUB_OFFLINE must not be set."
    return HubError("HUB-001", "the Hugging Face Hub cannot be reached; nothing was uploaded.", hint)
