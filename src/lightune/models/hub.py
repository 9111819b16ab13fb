"""The Hugging Face Hub, through snapshots of safe file types only; any failure becomes one clear HubError."""

from __future__ import annotations

import errno
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightune.bounded import read_json
from lightune.errors import HubError, LightuneError, ResourceError, did_you_mean, is_full, similar_path

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*.json",
               "tokenizer.model", "*.model", "vocab.txt", "vocab.json", "merges.txt", "special_tokens_map.json",
               "added_tokens.json")  # fmt: skip
# Weights of other frameworks and quantized exports are not needed.
MODEL_IGNORED = ("onnx/*", "openvino/*", "flax*", "tf_*", "coreml/*", "original/*")
CONFIG_FILES = ("config.json",)
ADAPTER_FILES = ("lightune.json", "MANIFEST.json", "adapter_config.json")  # beside those of a model
DATA_FILES = ("*.parquet", "*.csv", "*.jsonl", "*.json", "README.md")
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
TIMEOUT_SECONDS = 4
LISTING_SECONDS = 6
# A Hub that did not answer is not asked again for this long: a run looks for a model and a data set.
FORGET_SECONDS = 30
EMBEDDED = {"model": ("minilm",), "dataset": ("reviews",)}
COMMIT = re.compile(r"[0-9a-f]{40}")
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}

_silent_until = 0.0


def snapshot(
    name: str, revision: str | None, *, kind: str = "model", patterns: Sequence[str] = MODEL_FILES
) -> tuple[Path, str]:
    """Return (folder, commit) of a Hub repository, from the cache or downloaded.

    `kind` is "model" or "dataset". If a model's commit is given and completely cached, the Hub is not asked.
    Raises HubError when the repository is missing, gated, incomplete in the cache or cannot be reached, and
    ResourceError when the cache cannot be written.
    """
    from lightune.progress import quiet_libraries

    quiet_libraries()
    if kind == "model" and COMMIT.fullmatch(revision or ""):
        cached = _cached(name, str(revision), patterns)
        if cached is not None:
            return cached, cached.name
    online = reachable()
    try:
        try:
            folder = _fetch(name, revision, kind, patterns, online)
        except _SilentError:
            online = False
            folder = _fetch(name, revision, kind, patterns, online)
    except Exception as error:
        raise _explained(error, name, revision, kind) from error
    lacking = "" if online else _lacking(folder, kind, patterns)
    if lacking:
        raise _incomplete(name, kind, lacking)
    return folder, folder.name


def reachable() -> bool:
    """Say whether the Hub answers a small request in time: libraries would retry for half a minute per file.

    The request runs in a thread of its own, since looking up a host name has no time limit.
    """
    from huggingface_hub import constants

    global _silent_until
    if constants.HF_HUB_OFFLINE or time.monotonic() < _silent_until:
        return False
    answer: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(answer,), daemon=True).start()
    try:
        answered = answer.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        answered = False
    if not answered:
        _silent_until = time.monotonic() + FORGET_SECONDS
    return answered


def _ask(answer: queue.SimpleQueue[bool]) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().get(f"{constants.ENDPOINT}/api/models?limit=1", timeout=TIMEOUT_SECONDS)
    except Exception:  # for whatever reason, the Hub is not reachable
        answer.put(False)
    else:
        answer.put(True)


class _SilentError(Exception):
    """The Hub stopped answering before it had listed the repository's files."""


def _fetch(name: str, revision: str | None, kind: str, patterns: Sequence[str], online: bool) -> Path:
    """Return the snapshot's folder.

    The work is done in a thread of its own, since the library waits for the list of files without a time limit. The
    list has arrived once the library creates its progress bar.
    """
    listed, outcome = threading.Event(), queue.SimpleQueue[Path | Exception]()

    def work() -> None:
        try:
            outcome.put(_download(name, revision, kind, patterns, online, listed.set))
        except Exception as error:
            outcome.put(error)
        listed.set()

    threading.Thread(target=work, daemon=True).start()
    if not listed.wait(LISTING_SECONDS) and online:
        raise _SilentError
    found = outcome.get()
    if isinstance(found, Exception):
        raise found
    return found


def _download(
    name: str, revision: str | None, kind: str, patterns: Sequence[str], online: bool, listed: Callable[[], None]
) -> Path:
    """Let the library download the snapshot; `listed` is called once it knows the files."""
    import huggingface_hub as hub

    from lightune.progress import download_bar

    folder = hub.snapshot_download(
        name,
        repo_type=kind,
        revision=revision,
        allow_patterns=list(patterns),
        ignore_patterns=list(MODEL_IGNORED) if kind == "model" else None,
        etag_timeout=TIMEOUT_SECONDS,
        local_files_only=not online,
        tqdm_class=download_bar(f"downloading {name}", listed),
    )
    return Path(folder)


def _cached(name: str, commit: str, patterns: Sequence[str]) -> Path | None:
    """Return the folder of a commit that is completely in the cache; a commit never changes."""
    from huggingface_hub import errors

    try:
        folder = _fetch(name, commit, "model", patterns, online=False)
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        return None
    return None if _lacking(folder, "model", patterns) else folder


def _lacking(folder: Path, kind: str, patterns: Sequence[str]) -> str:
    """Return which of the patterns a cached snapshot clearly lacks, or "": a download may have been interrupted.

    A cached file is a link to its contents, and the contents may have been deleted.
    """
    dangling = sorted(path.name for path in folder.rglob("*") if path.is_symlink() and not path.exists())
    if dangling:
        return dangling[0]
    if kind == "dataset":
        return "" if any(any(folder.rglob(pattern)) for pattern in DATA_FILES[:-1]) else "data files"
    if (folder / "lightune.json").is_file():
        return next((name for name in _listed(folder / "MANIFEST.json") if not (folder / name).is_file()), "")
    if not (folder / "config.json").is_file():
        return "config.json"
    if set(VOCABULARIES) & set(patterns) and not any(any(folder.glob(pattern)) for pattern in VOCABULARIES):
        return "tokenizer"
    if "*.safetensors" not in patterns:
        return ""
    if not any(folder.glob("*.safetensors")):
        return "weights in safetensors"
    shards = [shard for index in folder.glob("*.safetensors.index.json") for shard in _shards(index)]
    return next((shard for shard in shards if not (folder / shard).is_file()), "")


def _listed(manifest: Path) -> list[str]:
    """Return the files of a saved adapter, or its manifest where that is absent or damaged."""
    try:
        return sorted(read_json(manifest)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return [manifest.name] if not manifest.is_file() else []


def _shards(index: Path) -> list[str]:
    """Return the weight files that an index names; a damaged index is reported when the weights are loaded."""
    try:
        return sorted(set(read_json(index)["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _unreachable(name: str, kind: str) -> HubError:
    meant = did_you_mean(name, EMBEDDED.get(kind, ())) or similar_path(Path(name))
    remedy = (
        "Connect to the network, or give a local folder or files. Without any network: `lightune run` uses the "
        "embedded model and data."
    )
    return HubError(
        "HUB-001",
        f'the {kind} "{name}" is not in the local cache, and the Hugging Face Hub cannot be reached.',
        f"{meant} {remedy}".strip(),
    )


def _incomplete(name: str, kind: str, lacking: str) -> HubError:
    return HubError(
        "HUB-007",
        f'the {kind} "{name}" is only partly in the local cache (no {lacking}), and the Hugging Face Hub cannot be '
        "reached.",
        "Connect to the network and run it again: cached files are kept, the rest is downloaded.",
    )


def _explained(error: Exception, name: str, revision: str | None, kind: str) -> LightuneError:
    from huggingface_hub import constants, errors

    number = error.errno if isinstance(error, OSError) else None
    if is_full(error) or number in UNWRITABLE:
        why = os.strerror(number) if number is not None else "the disk is full"
        message = f'the {kind} "{name}" cannot be stored in {constants.HF_HUB_CACHE}: {why}.'
        return ResourceError("DISK-003", message, "Free some space there, or set HF_HOME to a folder with room.")
    if isinstance(error, errors.HFValidationError):
        return HubError("HUB-005", f'"{name}" is neither a local path nor a name on the Hub (owner/name).')
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, errors.HfHubHTTPError):
        error = error.__cause__  # the library looked into the cache because the Hub had refused
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, name, revision, kind)
    if type(error).__name__ == "IncompleteSnapshotError":  # missing in the oldest huggingface_hub that we support
        return _incomplete(name, kind, "all of its files")
    if isinstance(error, errors.LocalEntryNotFoundError | TimeoutError | ConnectionError):
        return _unreachable(name, kind)
    cause = (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
    message = f'the {kind} "{name}" could not be fetched ({type(error).__name__}: {cause}).'
    return HubError("HUB-006", message, "Run it again: complete files are kept, the rest is downloaded.")


def _refused(error: HfHubHTTPError, name: str, revision: str | None, kind: str) -> HubError:
    """Explain an error response of the Hub."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        hint = f"Ask for access on its page on huggingface.co (the {kind} {name}), then run `hf auth login`."
        return HubError("HUB-003", f'the {kind} "{name}" is gated: its owner must give you access first.', hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "Check the spelling (owner/name); a private one needs `hf auth login`."
        return HubError("HUB-002", f'there is no {kind} "{name}" on the Hugging Face Hub.', hint)
    if isinstance(error, errors.RevisionNotFoundError):
        message = f'the {kind} "{name}" has no revision "{revision}".'
        return HubError("HUB-004", message, "Give a branch, tag or commit.")
    if error.response.status_code in {401, 403}:
        hint = "Run `hf auth login` again, or remove the token (`hf auth logout`, HF_TOKEN) if none is needed."
        return HubError("HUB-008", f'the Hub does not accept your access token for the {kind} "{name}".', hint)
    status = error.response.status_code
    message = f'the Hub answered {status} when asked for the {kind} "{name}".'
    return HubError("HUB-006", message, "Try again later: complete files are kept.")
