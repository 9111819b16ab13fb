"""The Hugging Face Hub, through snapshots of safe file types only; any failure is one clear HubError."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightune.errors import HubError

MODEL_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*.json",
               "tokenizer.model", "*.model", "vocab.txt", "vocab.json", "merges.txt", "special_tokens_map.json",
               "added_tokens.json")  # fmt: skip
# Weights of other frameworks and quantised exports would be downloaded for nothing.
MODEL_IGNORED = ("onnx/*", "openvino/*", "flax*", "tf_*", "coreml/*", "original/*")
CONFIG_FILES = ("config.json",)
DATA_FILES = ("*.parquet", "*.csv", "*.jsonl", "*.json", "README.md")
TIMEOUT_SECONDS = 4


def snapshot(
    name: str, revision: str | None, *, kind: str = "model", patterns: Sequence[str] = MODEL_FILES
) -> tuple[Path, str]:
    """Return (folder, commit) of a Hub repository, from the cache or downloaded.

    `kind` is "model" or "dataset". Raises HubError when the repository is missing, gated or cannot be reached.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants

    from lightune.progress import quiet_libraries

    quiet_libraries()
    cache_only = constants.HF_HUB_OFFLINE or not reachable()
    try:
        folder = hub.snapshot_download(
            name,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(patterns),
            ignore_patterns=list(MODEL_IGNORED),
            etag_timeout=TIMEOUT_SECONDS,
            local_files_only=cache_only,
        )
    except Exception as error:
        if isinstance(error, OSError) and error.errno in {28, 122}:  # the disk is full, whatever the Hub does
            raise
        raise _explained(error, name, revision, kind) from error
    return Path(folder), Path(folder).name


def reachable() -> bool:
    """Ask the Hub for anything at all, within the time limit: libraries would retry for half a minute per file."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().get(f"{constants.ENDPOINT}/api/models?limit=1", timeout=TIMEOUT_SECONDS)
    except Exception:  # whatever went wrong, it is not reachable
        return False
    return True


def _unreachable(name: str, kind: str) -> HubError:
    return HubError(
        "HUB-001",
        f'the {kind} "{name}" is not in the local cache, and the Hugging Face Hub cannot be reached.',
        "Connect to the network, or give a local folder or files. Without any network: `lightune run` uses the "
        "embedded model and data.",
    )


def _explained(error: Exception, name: str, revision: str | None, kind: str) -> HubError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        hint = f"Ask for access on its page on huggingface.co (the {kind} {name}), then run `hf auth login`."
        return HubError("HUB-003", f'the {kind} "{name}" is gated: its owner must let you in first.', hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "Check the spelling (owner/name); a private one needs `hf auth login`."
        return HubError("HUB-002", f'there is no {kind} "{name}" on the Hugging Face Hub.', hint)
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(
            "HUB-004", f'the {kind} "{name}" has no revision "{revision}".', "Give a branch, tag or commit."
        )
    if isinstance(error, errors.HFValidationError):
        return HubError("HUB-005", f'"{name}" is neither a local path nor a name on the Hub (owner/name).')
    if isinstance(error, errors.LocalEntryNotFoundError | TimeoutError | ConnectionError):
        return _unreachable(name, kind)
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return HubError("HUB-006", f'the {kind} "{name}" could not be fetched: {cause}', "Try again later.")
