"""The baselines that cost almost nothing: a constant prediction, word counts, a linear probe of the base model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.evaluation.evaluate import figures
from lightune.sections import Baseline
from lightune.tasks.linear import LinearModel

if TYPE_CHECKING:
    from lightune.data.dataset import DataSplits

PROBE_STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
TFIDF_STRENGTHS = (0.1, 1.0, 10.0, 100.0)
PROBE, TFIDF = ("probe", "linear probe"), ("tfidf", "word counts (TF-IDF)")
COSINE = "cosine", "cosine of the two texts"


@dataclass(frozen=True)
class Fitted:
    """A baseline's scores on the test split, (texts, outputs), and its section of the record."""

    scores: NDArray[Any]
    section: Baseline


def baselines(
    features: Mapping[str, NDArray[Any]],
    splits: DataSplits,
    started: float | None = None,
    cosines: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, Fitted]:
    """Return the task's baselines by their names in the record; see `probe` for the arguments.

    `cosines` are those of the texts of each pair, (texts, 1), by split; only pairs have them.
    """
    probed = probe(features, splits, started)  # first, because its clock is already running
    alike = cosine(cosines, splits, started) if cosines else None
    found = [constant(splits), (TFIDF[0], tfidf(splits)), (COSINE[0], alike), (PROBE[0], probed)]
    return {name: fitted for name, fitted in found if fitted is not None}


def constant(splits: DataSplits) -> tuple[str, Fitted | None]:
    """Return (its name, the best constant prediction for the training texts), such as the most frequent label."""
    found = splits.task.constant(splits.train.targets)
    if found is None:
        return "", None
    scores = np.tile(found.scores, (len(splits.test), 1))
    metrics = figures(splits.task.measure(scores, splits.test.targets))
    kept = {name: value for name, value in metrics.items() if name not in found.without}
    return found.name, Fitted(scores, Baseline(title=found.title, metrics=kept, details=dict(found.details)))


def tfidf(splits: DataSplits) -> Fitted | None:
    """Fit a linear model on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    started = time.perf_counter()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    fitting = vectorizer.fit_transform(map(" ".join, [*splits.train.texts, *splits.validation.texts]))
    features = fitting, vectorizer.transform(map(" ".join, splits.test.texts))
    return _linear(TFIDF[1], features, splits, TFIDF_STRENGTHS, started)


def cosine(cosines: Mapping[str, NDArray[Any]], splits: DataSplits, started: float | None = None) -> Fitted | None:
    """Fit the task's answer to the cosine of the mean-pooled features of a pair's two texts, each encoded apart."""
    started = time.perf_counter() if started is None else started
    model = splits.task.cosine(_fitting(cosines), _targets(splits))
    return None if model is None else _fitted(COSINE[1], "the", model, cosines["test"], splits, started)


def probe(features: Mapping[str, NDArray[Any]], splits: DataSplits, started: float | None = None) -> Fitted | None:
    """Fit a linear model on standardised features of the base model before training, one array per split.

    They are mean-pooled features of a text, or those of `PairFeatures`.
    Like the adapted model, it uses all labels that the run may use for fitting or choosing (training and validation
    rows); the test split is only predicted. `started` (of time.perf_counter) is when computing the features began:
    their time is part of the probe's cost.
    """
    started = time.perf_counter() if started is None else started
    return _linear(PROBE[1], (_fitting(features), features["test"]), splits, PROBE_STRENGTHS, started, article="the")


def _fitting(features: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([features["train"], features["validation"]])


def _targets(splits: DataSplits) -> NDArray[Any]:
    return np.concatenate([splits.train.targets, splits.validation.targets])


def _linear(
    title: str,
    features: tuple[Any, Any],
    splits: DataSplits,
    strengths: Sequence[float],
    started: float,
    article: str = "",
) -> Fitted | None:
    """Fit the task's linear model on `features` (to fit on, of the test split); None if the task has no such model.

    Dense features are standardised.
    """
    fitting, test = features
    model = splits.task.linear(fitting, _targets(splits), strengths, scaled=isinstance(fitting, np.ndarray))
    return None if model is None else _fitted(title, article, model, test, splits, started)


def _fitted(title: str, article: str, model: LinearModel, test: Any, splits: DataSplits, started: float) -> Fitted:
    """Return a fitted model's scores on the test split, and its section; its time began at `started`."""
    scores = model.scores(test)
    metrics = figures(splits.task.measure(scores, splits.test.targets))
    kept = {name: value for name, value in metrics.items() if name not in model.without}
    spent = time.perf_counter() - started
    section = Baseline(title=title, article=article, metrics=kept, details=dict(model.details), runtime=spent)
    return Fitted(scores, section)
