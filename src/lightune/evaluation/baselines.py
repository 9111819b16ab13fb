"""The baselines that cost almost nothing: the majority class, word counts, a linear probe of the untouched backbone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.evaluation.logistic import fit_logistic
from lightune.evaluation.metrics import measure
from lightune.sections import MajorityClass, Probe, WordCounts

if TYPE_CHECKING:
    from lightune.data.dataset import Split, Task

PROBE_STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
TFIDF_STRENGTHS = (0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Baseline:
    """What a baseline answers on the test split, and what the record says of it.

    `scores` are log-probabilities, (texts, labels), of the majority class zeros with a one; the largest is the answer.
    """

    scores: NDArray[Any]
    section: MajorityClass | WordCounts


def baselines(pooled: Mapping[str, NDArray[Any]], task: Task, started: float | None = None) -> dict[str, Baseline]:
    """Return every baseline by its name in the record; see `probe` for the arguments."""
    probed = probe(pooled, task, started)  # first: its time has been running
    return {"majority_class": majority_class(task), "tfidf": tfidf(task), "probe": probed}


def majority_class(task: Task) -> Baseline:
    """Always answer the commonest training label."""
    from sklearn.metrics import f1_score

    label, _ = Counter(task.train.labels).most_common(1)[0]
    answers = [label] * len(task.test)
    f1_macro = f1_score(task.test.labels, answers, labels=range(len(task.labels)), average="macro", zero_division=0)
    accuracy = task.test.labels.count(label) / len(task.test)
    scores = np.eye(len(task.labels))[answers]
    return Baseline(scores, MajorityClass(label=task.labels[label], accuracy=accuracy, f1_macro=float(f1_macro)))


def tfidf(task: Task) -> Baseline:
    """Fit logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    started = time.perf_counter()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    texts, labels = _fitting(task)
    model = fit_logistic(vectorizer.fit_transform(map(" ".join, texts)), labels, TFIDF_STRENGTHS, scaled=False)
    test = vectorizer.transform(map(" ".join, task.test.texts))
    scores = _log_probabilities(model, test, len(task.labels))
    return Baseline(scores, _measured(WordCounts, scores, task.test, model, started))


def probe(pooled: Mapping[str, NDArray[Any]], task: Task, started: float | None = None) -> Baseline:
    """Fit logistic regression on standardised mean-pooled features of the untouched backbone, one array per split.

    It has every label the run may use for fitting or choosing (training and validation rows), as the adapted model
    has; the test split is only predicted. `started` (of time.perf_counter) is when the features began to be computed:
    they are part of what a probe costs.
    """
    started = time.perf_counter() if started is None else started
    fitting = np.concatenate([pooled["train"], pooled["validation"]])
    best = fit_logistic(fitting, _fitting(task)[1], PROBE_STRENGTHS)
    scores = _log_probabilities(best, pooled["test"], len(task.labels))
    return Baseline(scores, _measured(Probe, scores, task.test, best, started))


def _fitting(task: Task) -> tuple[list[tuple[str, ...]], list[int]]:
    """Return the texts and labels that may be fitted: training and validation rows."""
    return [*task.train.texts, *task.validation.texts], [*task.train.labels, *task.validation.labels]


def _measured(section: type[WordCounts], scores: NDArray[Any], test: Split, model: Any, started: float) -> WordCounts:
    metrics = measure(scores, np.asarray(test.labels))
    return section(
        accuracy=metrics.accuracy,
        loss=metrics.loss,
        f1_macro=metrics.f1_macro,
        C=float(model[-1].C),
        runtime=time.perf_counter() - started,
    )


def _log_probabilities(model: Any, features: Any, classes: int) -> NDArray[Any]:
    """Return log-probabilities with a column for every label, also one that the training split lacks."""
    found = np.full((features.shape[0], classes), -50.0)
    found[:, model.classes_] = model.predict_log_proba(features)
    return found
