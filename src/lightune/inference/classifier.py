"""A trained classifier, ready to answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune import runtime
from lightune.artifact import AdaptedModel, load_adapter, merged_model
from lightune.data.columns import is_missing, is_writable
from lightune.data.encoding import encode
from lightune.errors import DataError
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.metrics import probabilities

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

Text = str | tuple[str, str]


@dataclass(frozen=True)
class Prediction:
    """The likeliest label, its probability, and the probability of every label."""

    label: str
    confidence: float
    probabilities: dict[str, float]


class Classifier:
    """A base model with its adapter; make one with `lightune.load`."""

    def __init__(self, adapted: AdaptedModel, model: nn.Module, batch_size: int = 64) -> None:
        self._adapted = adapted
        self._model = model
        self.batch_size = batch_size

    @property
    def labels(self) -> list[str]:
        """The label names, in the order of the logits."""
        return list(self._adapted.config.labels)

    @property
    def model(self) -> nn.Module:
        """The torch module itself."""
        return self._model

    @property
    def text_columns(self) -> list[str]:
        """The text column (or pair) of the training data."""
        return list(self._adapted.config.text_columns)

    @property
    def label_column(self) -> str:
        """The label column of the training data."""
        return self._adapted.config.label_column

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base model's tokenizer."""
        return self._adapted.loaded.tokenizer

    @property
    def max_length(self) -> int:
        """The longest text in tokens; longer ones are cut."""
        return self._adapted.loaded.max_length

    def logits(self, texts: Sequence[Text]) -> NDArray[Any]:
        """Return the logits, (texts, labels), fp32. Raises DataError for an empty text."""
        rows = [tuple(text) if isinstance(text, list | tuple) else (text,) for text in texts]
        for number, row in enumerate(rows, 1):
            if len(row) != len(self.text_columns):
                message = f"text {number}: {len(row)} part(s) given, the classifier takes {len(self.text_columns)}."
                raise DataError("DATA-041", message)
            if any(is_missing(part) for part in row):
                raise DataError("DATA-040", f"text {number} is empty.", "Give each row some text.")
            if not all(isinstance(part, str) and is_writable(part) for part in row):
                raise DataError("DATA-043", f"text {number} is not a text in valid characters.", "Pass it as UTF-8.")
        encoded = encode(self.tokenizer, rows, self.max_length)
        return predict_logits(self._model, self.tokenizer, encoded, self.batch_size)

    def predict(self, texts: Text | Sequence[Text]) -> list[Prediction]:
        """Classify a text (or a pair of texts) or many, in the order given."""
        is_pair = isinstance(texts, tuple) and len(texts) == len(self.text_columns) and isinstance(texts[0], str)
        given: Any = [texts] if isinstance(texts, str) or is_pair else texts
        return list(self._predictions(given)) if len(given) else []

    def save_pretrained(self, folder: Path | str) -> None:
        """Write a stock transformers model folder with the adapter merged in, and the tokenizer."""
        if self._model is self._adapted.model:
            self._model = merged_model(self._adapted) or self._model
        model: Any = self._model
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _predictions(self, texts: Sequence[Text]) -> Iterator[Prediction]:
        for row in probabilities(self.logits(texts).astype(np.float64)):
            best = int(row.argmax())
            shares = {label: float(share) for label, share in zip(self.labels, row, strict=True)}
            yield Prediction(self.labels[best], float(row[best]), shares)


def load(folder: Path | str, base_model: str | None = None, device: str = "auto") -> Classifier:
    """Load the classifier of a run folder (or of its adapter folder), verified and strict.

    `base_model` says where the base model lies now, if it moved. Raises ArtifactError for a damaged folder or another
    base model, HubError when the base has to be fetched and cannot.
    """
    adapted = load_adapter(folder, base_model)
    return Classifier(adapted, adapted.model.to(runtime.choose_device(device)))
