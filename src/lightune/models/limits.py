"""A model's tokenizer and the longest text it takes, without its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError
from lightune.models import embedded
from lightune.models.config import cut_at, token_limit
from lightune.models.load import find_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens of texts as a model would, its special tokens included."""

    model: str
    limit: int
    backend: Tokenizer

    def count(self, texts: Sequence[tuple[str, ...]]) -> list[int]:
        """Return the number of tokens of each text or pair."""
        given: list[Any] = [text[0] if len(text) == 1 else text for text in texts]
        return [len(encoding.ids) for encoding in self.backend.encode_batch(given)]


def embedded_is_here() -> bool:
    """Say whether the embedded model's package is installed."""
    return find_spec(embedded.PACKAGE) is not None


def token_counter(name: str, revision: str | None = None, max_length: int | None = None) -> TokenCounter:
    """Return the tokenizer of a model with its limit; only its configuration and vocabulary are read.

    Raises RecipeError when the folder has no tokenizer.json, HubError for the Hub's failures.
    """
    folder = find_model(name, revision, FILES).folder
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise RecipeError(
            "RECIPE-047", f"{name}: there is no tokenizer.json, so its tokens cannot be counted.",
            "Give another --model, or none: texts are then counted in words.",
        )  # fmt: skip
    return TokenCounter(name, _limit(folder, max_length), _backend(path))


@lru_cache(maxsize=2)
def _backend(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no exception type of its own
        raise RecipeError("RECIPE-047", f"{path}: this tokenizer cannot be read: {error}") from error
    backend.no_truncation()
    backend.no_padding()
    return backend


def _limit(folder: Path, wanted: int | None) -> int:
    config, about = (_mapping(folder / name) for name in ("config.json", "tokenizer_config.json"))
    return cut_at(token_limit(config, about.get("model_max_length")), wanted)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
