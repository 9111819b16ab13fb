"""Names of columns: how they are read, and which ones are well known."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from lightune.tasks import label_columns
from lightune.values.lookalikes import is_unseen

TEXT_NAMES = ("text", "sentence", "review", "content", "comment", "body", "message", "document", "question", "title")
PAIR_NAMES = (
    ("premise", "hypothesis"), ("query", "passage"), ("query", "document"), ("question", "passage"),
    ("question", "context"), ("question", "sentence"), ("question", "answer"), ("source_text", "target_text"),
    ("text", "text_pair"), ("claim", "evidence"), ("context", "hypothesis"), ("query", "title"),
    ("query", "product_title"), ("original", "paraphrase"), ("anchor", "positive"), ("headline", "articlebody"),
)  # fmt: skip
# A title and the text below it are the text together.
HEADING_NAMES = ("title", "headline", "subject")
HEADED_NAMES = ("text", "content", "body", "message", "review", "comment", "description", "abstract", "article")
# Other usual names of columns: a first row that holds one of these words is a row of names.
OTHER_NAMES = (
    "abstract", "airline", "answer", "article", "aspect", "author", "column", "confidence", "context", "country",
    "date", "description", "email", "emotion", "feedback", "field", "gold", "group", "headline", "hypothesis", "id",
    "ids", "idx", "index", "input", "lang", "language", "name", "num", "number", "opinion", "output", "passage",
    "phrase", "polarity", "post", "premise", "prompt", "query", "response", "row", "score", "sms", "source", "split",
    "subject", "summary", "tag", "tags", "time", "timestamp", "topic", "tweet", "type", "unnamed", "url", "user",
    "username", "utterance", "value",
)  # fmt: skip
KNOWN_BESIDE_LABELS = frozenset((*TEXT_NAMES, *OTHER_NAMES))
NUMBERED = re.compile(r"[vVxXcC]\d+")  # v1, v2 and the like
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@lru_cache(4096)
def clean_name(name: str) -> str:
    """Return a column's name in Unicode NFC, without spaces and invisible characters (U+FEFF, ...) around it."""
    name = unicodedata.normalize("NFC", name)
    shown = [place for place, character in enumerate(name) if not (character.isspace() or is_unseen(character))]
    return name[shown[0] : shown[-1] + 1] if shown else ""


def is_known_name(name: str) -> bool:
    """Say whether a name is, or contains, a usual name of a column: text, Text1, review_text, starRating."""
    words = [word.lower() for word in WORD.findall(name)]
    labels = label_columns()
    known = [word in KNOWN_BESIDE_LABELS or word in labels for word in words]
    is_one_word = not any(map(str.isspace, name))
    return bool(NUMBERED.fullmatch(name)) or (any(known) and (all(known) or is_one_word))
