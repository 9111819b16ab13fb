"""The baselines that cost almost nothing: the majority class, and a linear probe of the untouched backbone."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.encoding import Encoded, collate, length_sorted_batches
from lightune.evaluation.evaluate import to_device
from lightune.evaluation.metrics import measure

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from lightune.data.task import Split, Task

REGULARISATION = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class ProbeResult:
    """The probe's log-probabilities on the test split, (texts, labels), and the fields of record.Probe."""

    log_probabilities: NDArray[Any]
    fields: dict[str, Any]


def majority_class(task: Task) -> dict[str, Any]:
    """Return the fields of record.MajorityClass: the commonest training label and its accuracy on test."""
    label, _ = Counter(task.train.labels).most_common(1)[0]
    return {"label": task.labels[label], "accuracy": task.test.labels.count(label) / len(task.test)}


def mean_pooled(
    backbone: nn.Module, tokenizer: PreTrainedTokenizerBase, encoded: Encoded, batch_size: int
) -> NDArray[Any]:
    """Return the mean of the last hidden states over each text's real tokens: (texts, width)."""
    import torch

    device = next(backbone.parameters()).device
    features: list[Any] = [None] * len(encoded)
    with torch.inference_mode():
        for rows in length_sorted_batches(encoded, batch_size):
            batch = to_device(collate(tokenizer, [encoded.rows[row] for row in rows]), device)
            hidden = backbone(**batch).last_hidden_state.float()
            weight = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weight).sum(1) / weight.sum(1)
            for row, vector in zip(rows, pooled.cpu().numpy(), strict=True):
                features[row] = vector
    return np.stack(features)


def probe(
    backbone: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    encoded: dict[str, Encoded],
    batch_size: int,
) -> ProbeResult:
    """Fit logistic regression on standardised mean-pooled features of the training split.

    The strength of the L2 penalty is the one with the best validation accuracy (the stronger penalty among equals);
    the test split is only predicted.
    """
    started = time.perf_counter()
    features = {name: mean_pooled(backbone, tokenizer, encoded[name], batch_size) for name in encoded}
    splits = {"train": task.train, "validation": task.validation, "test": task.test}
    best = fit_logistic(features["train"], task.train, features["validation"], task.validation)
    scores = _log_probabilities(best, features["test"], len(task.labels))
    metrics = measure(scores, np.asarray(splits["test"].labels))
    fields = {
        "accuracy": metrics.accuracy,
        "loss": metrics.loss,
        "f1_macro": metrics.f1_macro,
        "C": float(best[-1].C),
        "runtime": time.perf_counter() - started,
    }
    return ProbeResult(scores, fields)


def fit_logistic(train: NDArray[Any], train_split: Split, validation: NDArray[Any], validation_split: Split) -> Any:
    """Return a scikit-learn pipeline (standardise, logistic regression), its C chosen on the validation split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    best, best_accuracy = None, -1.0
    for strength in REGULARISATION:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(train, train_split.labels)
        accuracy = float(model.score(validation, validation_split.labels))
        if accuracy > best_accuracy:
            best, best_accuracy = model, accuracy
    return best


def _log_probabilities(model: Any, features: NDArray[Any], classes: int) -> NDArray[Any]:
    """Return log-probabilities with a column for every label, also one that the training split lacks."""
    found = np.full((len(features), classes), -50.0)
    found[:, model.classes_] = model.predict_log_proba(features)
    return found
