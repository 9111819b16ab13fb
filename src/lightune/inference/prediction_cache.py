"""A cache of predictions for a stream of texts with repetitions: a text is computed once while it is in the cache."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightune.data.encoding import NoTokensError
from lightune.inference.abstention import Abstention

if TYPE_CHECKING:
    from lightune.inference.classifier import Classifier, Text

# About 20 MB: 65,536 answers of two cells, fewer where an answer has more.
MOST_CELLS = 2**17


class Answers:
    """The prediction of each text as cells of a file; those of the most recently used texts are cached, `most` of them.

    Texts are identified by a digest, so that the cache stays small whatever their length.
    """

    def __init__(self, classifier: Classifier, most: int | None = None, abstention: Abstention | None = None) -> None:
        """Start with an empty cache."""
        self._classifier = classifier
        self._abstention = abstention or Abstention(classifier.task)
        self._most = max(1, MOST_CELLS // len(classifier.task.answer_columns)) if most is None else most
        self._known: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many predictions are cached."""
        return len(self._known)

    def of(self, texts: Sequence[Text], places: Sequence[str] = ()) -> list[tuple[str, ...]]:
        """Return the prediction of each text under the abstention's `columns`; `places` are for messages."""
        keys = [_digest(text) for text in texts]
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        try:
            logits = self._classifier.logits(list(unknown.values())) if unknown else None
        except NoTokensError as error:
            number = keys.index(list(unknown)[error.index])
            raise NoTokensError(number, places[number] if places else "") from error
        found = () if logits is None else self._abstention.cells(logits)
        new = dict(zip(unknown, found, strict=True))
        answers = [new[key] if key in new else self._known[key] for key in keys]
        for key, answer in zip(keys, answers, strict=True):
            self._known[key] = answer
            self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return answers


def _digest(text: Text) -> bytes:
    parts = (text,) if isinstance(text, str) else text
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)  # the length marks where a part ends
    return digest.digest()
