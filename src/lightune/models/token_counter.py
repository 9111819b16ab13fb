"""A model's tokenizer and the longest text it takes, without its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError
from lightune.models import embedded
from lightune.models.config import cut_at, read_config, token_limit
from lightune.models.load import find_model
from lightune.models.tokenizer_files import read_tokenizer_settings
from lightune.models.tokens import is_bare, require_room
from lightune.models.vocabulary import require_written

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens of texts as a model would, including special tokens."""

    model: str
    limit: int
    backend: Tokenizer

    def count(self, texts: Sequence[tuple[str, ...]]) -> list[int]:
        """Return the number of tokens of each text or pair."""
        return [length for length, _ in self.look(texts)]

    def look(self, texts: Sequence[tuple[str, ...]]) -> list[tuple[int, bool]]:
        """Return the number of tokens of each text or pair, and whether it (or a part) has only special tokens.

        Raises RecipeError when the limit leaves no room for a text besides the special tokens.
        """
        parts = len(texts[0]) if texts else 1
        special = self.backend.num_special_tokens_to_add(parts > 1)
        require_room(special, parts, self.limit)
        given: list[Any] = [text[0] if len(text) == 1 else text for text in texts]
        encoded = self.backend.encode_batch(given)
        return [(len(encoding.ids), is_bare(encoding, special, parts)) for encoding in encoded]


def embedded_is_here() -> bool:
    """Say whether the embedded model's package is installed."""
    return find_spec(embedded.PACKAGE) is not None


def token_counter(name: str, revision: str | None = None, max_length: int | None = None) -> TokenCounter:
    """Return the tokenizer of a model with its limit; only its configuration and vocabulary are read.

    Raises RecipeError when the folder has no tokenizer.json, or no model could be loaded from its files; HubError for
    the Hub's failures.
    """
    folder = find_model(name, revision, FILES).folder
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise RecipeError(
            "RECIPE-047", f"{name}: there is no tokenizer.json, so its tokens cannot be counted.",
            "Give another --model, or none: texts are then counted in words.",
        )  # fmt: skip
    backend, raw = _backend(path), read_config(name, folder)
    about = read_tokenizer_settings(name, folder)
    require_written(name, raw, about, backend.get_vocab())
    return TokenCounter(name, cut_at(token_limit(raw, about.get("model_max_length")), max_length), backend)


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
