"""A trained classifier, ready for inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from lightune import runtime
from lightune.artifact import CONFIG_FILE, AdaptedModel, holds_adapter, load_adapter
from lightune.data.encoding import Encoded, NoTokensError, encode
from lightune.data.names import clean_name
from lightune.data.windows import CUT, WINDOWS, LongTexts
from lightune.durable import library_files, make_folder
from lightune.errors import DataError, RecipeError
from lightune.evaluation.evaluate import predict_logits
from lightune.inference.bf16_answers import AnsweringPrecision
from lightune.inference.merging import COMPARED, Merging, merged_model
from lightune.inference.texts import Text, as_texts, require_strings, text_parts
from lightune.models.load import LoadedModel, ModelSource
from lightune.models.pretrained_classifier import find_trained, load_finished
from lightune.models.tokenizer_files import save_tokenizer
from lightune.tasks import checkpoint_task
from lightune.tasks.answers import Answer, confidence_of
from lightune.tasks.base import Task
from lightune.tasks.coverage import Coverage, require_bound

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a classifier: the task, and the columns of the training data.

    `finished_elsewhere` says that the model was trained elsewhere; the columns then have the usual names. `coverage` is
    that of the run's validation texts.
    """

    task: Task
    text_columns: list[str]
    label_columns: list[str]
    finished_elsewhere: bool = False
    coverage: Coverage | None = None


class Classifier:
    """A base model with its adapter, or a model trained elsewhere; make one with `lightune.load`.

    With `adapted` the adapter can be merged: when the classifier is saved as a stock model, and in a copy that predicts
    after the first 256 texts, where that is exact. Equal texts of a call are computed once.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        model: nn.Module,
        signature: Signature,
        adapted: AdaptedModel | None = None,
        precision: str = "fp32",
    ) -> None:
        self._loaded = loaded
        self._model = model
        self._unmerged = adapted
        self._fingerprints = adapted.fingerprints if adapted else None
        self._merging = Merging(adapted, loaded.task)
        self._precision = AnsweringPrecision(precision, next(model.parameters()).device.type)
        self.signature = signature
        self.batch_size = 64
        self.truncated = 0  # texts that were cut to `max_length` so far; equal texts of a call are counted once

    def __repr__(self) -> str:
        """Name the model and its labels."""
        return f"<Classifier {self._loaded.source.name}: {', '.join(self.labels) or self.task.name}>"

    @property
    def task(self) -> Task:
        """What the model was trained for."""
        return self.signature.task

    @property
    def labels(self) -> list[str]:
        """The label names; none for a task without labels."""
        return list(self.task.labels)

    @property
    def model(self) -> nn.Module:
        """The torch module itself, with its adapter; since the caller may change it, it predicts from then on."""
        self._merging.stop()
        self._precision.stop()
        return self._model

    @property
    def precisions(self) -> dict[str, dict[str, str]]:
        """What was chosen so far, unless fp32 was asked for, for one text and for many: the precision, and why."""
        return {kind: asdict(found) for kind, found in self._precision.chosen.items()}

    @property
    def text_columns(self) -> list[str]:
        """The text column (or pair) of the training data."""
        return list(self.signature.text_columns)

    @property
    def label_columns(self) -> list[str]:
        """The label column of the training data, or its label columns."""
        return list(self.signature.label_columns)

    @property
    def label_column(self) -> str:
        """The label column of the training data; of several, their names with commas."""
        return ", ".join(self.signature.label_columns)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base model's tokenizer."""
        return self._loaded.tokenizer

    @property
    def max_length(self) -> int:
        """The longest text in tokens; longer ones are cut, or read in windows of this length: see `long_texts`."""
        return self._loaded.max_length

    @property
    def long_texts(self) -> LongTexts:
        """What becomes of the tokens of a text beyond `max_length`: "cut", or "windows", as it was trained."""
        return self._loaded.long_texts

    def encoded(self, rows: Sequence[tuple[str, ...]]) -> Encoded:
        """Return the tokens of texts, each a tuple of its parts, as the model reads them."""
        return encode(self.tokenizer, rows, self.max_length, self.long_texts)

    def logits(self, texts: Sequence[Text]) -> NDArray[Any]:
        """Return the logits, (texts, labels), fp32. Raises DataError for an empty text, or one without tokens."""
        rows = [self.row(text, number) for number, text in enumerate(as_texts(texts), 1)]
        places = {row: place for place, row in enumerate(dict.fromkeys(rows))}
        distinct = list(places)
        encoded = self.encoded(distinct)
        if encoded.bare:
            raise NoTokensError(rows.index(distinct[encoded.bare[0]]))
        self.truncated += encoded.truncated
        with self._merging.answering(self._model, len(distinct), partial(self._exact, distinct[:COMPARED])) as model:
            chosen = self._precision.choose(model, encoded)
            found = predict_logits(chosen, self.tokenizer, encoded, self.batch_size)
        return found[[places[row] for row in rows]]

    def _exact(self, rows: Sequence[tuple[str, ...]], model: nn.Module) -> NDArray[Any]:
        """Return the logits of the module itself, in its own precision, to compare two modules."""
        return predict_logits(model, self.tokenizer, self.encoded(rows), self.batch_size)

    def row(self, text: Text, number: int = 1) -> tuple[str, ...]:
        """Return the parts of a text; DataError, which names its number, unless it can be classified."""
        row = text_parts(text, self.text_columns)
        if len(row) != len(self.text_columns):
            raise self._wrong_parts(number, len(row))
        require_strings(row, number)
        return row

    def _wrong_parts(self, number: int, given: int) -> DataError:
        names, count = ", ".join(self.text_columns), len(self.text_columns)
        hint = "A tuple of two strings is one pair; give single texts as a list of strings." if count == 1 else (
            f"It takes pairs ({names}): tuples from Python; on the command line TEXT TEXT2, or --file with them."
        )  # fmt: skip
        return DataError(
            "DATA-041", f"text {number} has {given} part{'s' * (given > 1)}; this classifier takes {count}.", hint
        )

    @overload
    def predict(self, texts: Text | Sequence[Text], abstain_below: None = None) -> list[Answer]: ...

    @overload
    def predict(self, texts: Text | Sequence[Text], abstain_below: float) -> list[Answer | None]: ...

    def predict(
        self, texts: Text | Sequence[Text], abstain_below: float | None = None
    ) -> list[Answer] | list[Answer | None]:
        """Predict one text (or pair of texts) or many, in the given order; see `as_texts` for what counts as one.

        The type of the answers depends on the task: in classification each is a Prediction. With `abstain_below` a text
        whose answer has a lower confidence gets None. Raises RecipeError where answers have no confidence.
        """
        if abstain_below is not None:
            require_bound(self.task, abstain_below)
        given = as_texts(texts)
        answers = list(self.task.decode(self.logits(given))) if given else []
        if abstain_below is None:
            return answers
        return [None if confidence_of(answer) < abstain_below else answer for answer in answers]

    @property
    def coverage(self) -> Coverage | None:
        """How many validation texts are answered with a bound on the confidence, and rightly; None where unknown."""
        return self.signature.coverage

    def predict_proba(self, texts: Text | Sequence[Text]) -> NDArray[Any]:
        """Return the probability of each label, (texts, labels), in the order of `classes_`.

        The rows of a classification sum to 1. With several labels a text each label has a probability of its own.
        Raises RecipeError for a task without labels, and what `predict` raises.
        """
        given = as_texts(texts)
        logits = self.logits(given) if given else np.zeros((0, self.task.outputs), np.float32)
        return self.task.probabilities(logits)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, (labels,), under the name that scikit-learn gives them; numbers have none."""
        return np.array(self.labels)

    @property
    def has_fingerprints(self) -> bool:
        """Whether it recognizes the texts that it was trained and validated on."""
        return self._fingerprints is not None

    def known(self, texts: Text | Sequence[Text]) -> list[bool] | None:
        """Say for each text whether the model was trained or validated on it; None if no fingerprints were kept.

        Case, spaces and punctuation at the ends are ignored. Raises DataError for an empty text.
        """
        if self._fingerprints is None:
            return None
        rows = (self.row(text, number) for number, text in enumerate(as_texts(texts), 1))
        found: list[bool] = self._fingerprints.known(rows).tolist()
        return found

    def save_pretrained(self, folder: Path | str) -> None:
        """Write a stock transformers model folder with the adapter merged in, and the tokenizer.

        Its tokenizer cuts texts where this classifier does; of one that reads longer texts in windows, only lightune
        does that with the stock model too. Raises RecipeError for an adapter that cannot be merged.
        """
        model: Any = self._model
        self._merging.stop()
        if self._unmerged is not None:
            model = merged_model(self._unmerged)
            if model is None:
                message = f"{self._unmerged.config.method} cannot be merged, so it cannot be saved as a stock model."
                raise RecipeError("RECIPE-094", message, "Keep the run folder: lightune.load reads it.")
            if not self._unmerged.shares_base:  # a merged adapter cannot be merged again
                self._model, self._unmerged = model, None
        says_of_its_own = {
            "lightune_text_columns": self.text_columns if len(self.text_columns) > 1 else None,
            "lightune_long_texts": self.long_texts if self.long_texts != CUT else None,  # transformers cuts
        }
        for name, value in says_of_its_own.items():
            vars(model.config).pop(name, None)  # the base may be a model that was saved so, and say otherwise
            if value is not None:
                setattr(model.config, name, value)
        if checkpoint_task(model.config.to_dict(), str(folder)) != self.task:
            model.config.lightune_task = self.task.as_json()  # which the rest of config.json does not say
        needed = sum(value.numel() * value.element_size() for value in model.parameters())
        make_folder(Path(folder))
        with library_files(Path(folder), needed) as theirs:
            model.save_pretrained(theirs)
        save_tokenizer(self.tokenizer, Path(folder), self.max_length)


def classifier_of(adapted: AdaptedModel, device: torch.device, precision: str = "fp32") -> Classifier:
    """Return an adapted model as a classifier on the device."""
    config = adapted.config
    labels = [config.label_column] if isinstance(config.label_column, str) else config.label_column
    texts, targets = (list(map(clean_name, names)) for names in (config.text_columns, labels))
    signature = Signature(config.task, texts, targets, coverage=config.coverage)
    return Classifier(adapted.loaded, adapted.model.to(device), signature, adapted, precision)


def load(
    folder: Path | str, base_model: str | None = None, device: str = "auto", precision: str = "fp32"
) -> Classifier:
    """Load a classifier: a run folder (or its adapter folder), or any trained sequence classifier by folder or name.

    A name on the Hub may also be that of an adapter that `lightune push` uploaded.

    `base_model` says where a run's base model is, if not where the run found it. With `precision` "bf16" the layers
    compute in bf16, on a CPU or CUDA. With "auto" they do so where a short probe shows a gain, separately for one text
    and for many. Probabilities then differ in the third digit, and so may the label of a text whose most probable
    labels are that close. A run is verified and loaded strictly. Raises ArtifactError for a damaged folder, another
    base model or a model without a head, HubError when a download is needed and fails.
    """
    target = runtime.choose_device(device)
    is_run = holds_adapter(Path(folder))
    source = ModelSource(str(folder), Path(folder), None) if is_run else find_trained(str(folder))
    if is_run or (source.folder / CONFIG_FILE).is_file():
        return classifier_of(load_adapter(source.folder, base_model), target, precision)
    if base_model is not None:
        raise RecipeError("RECIPE-049", f"{folder}: a base model goes with a run folder, and this is not one.")
    loaded = load_finished(source)
    is_read_whole = getattr(loaded.model.config, "lightune_long_texts", CUT) == WINDOWS
    loaded = replace(loaded, long_texts=WINDOWS if is_read_whole else CUT)
    texts = getattr(loaded.model.config, "lightune_text_columns", ["text"])  # a model saved here says if it reads pairs
    signature = Signature(loaded.task, list(texts), [loaded.task.target_column], finished_elsewhere=True)
    return Classifier(loaded, loaded.model.to(target), signature, precision=precision)  # type: ignore[arg-type]
