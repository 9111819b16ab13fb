"""The estimators of scikit-learn: its own checks, its tools around them, and what a fitted estimator carries."""

from __future__ import annotations

import copy
import gc
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
from scipy.special import softmax
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

import lightune
from lightune import fitting
from lightune.cli.main import main
from lightune.errors import InterruptedRunError, RecipeError
from lightune.sklearn import InputError, TextClassifier, TextRegressor
from tiny import BAD, FILLER, GOOD, THINGS, sentences, write_csv

ROWS = sentences(150, seed=31)
TEXTS = [text for text, _ in ROWS[:110]]
LABELS = [label for _, label in ROWS[:110]]
UNSEEN, WANTED = [text for text, _ in ROWS[110:]], [label for _, label in ROWS[110:]]
WORDS = [*FILLER, *GOOD, *BAD, *THINGS][:40]

Made = Callable[..., Any]


@pytest.fixture(scope="module")
def how(tiny_models: Any) -> dict[str, Any]:
    """Parameters with which a tiny model learns in half a second."""
    model = str(tiny_models["distilbert"])
    return {"model": model, "method": "full", "epochs": 8, "learning_rate": 5e-3, "device": "cpu"}


@pytest.fixture(scope="module")
def fitted(how: dict[str, Any]) -> TextClassifier:
    return TextClassifier(**how).fit(TEXTS, LABELS)


def test_it_learns_and_scores_as_scikit_learn_does(fitted: TextClassifier):
    answers = fitted.predict(UNSEEN)
    assert fitted.score(UNSEEN, WANTED) == np.mean(answers == np.array(WANTED)) >= 0.8
    assert (is_classifier(fitted), is_regressor(TextRegressor())) == (True, True)
    assert fitted.classes_.tolist() == ["negative", "positive"]
    logits = lightune.load(fitted.folder_, device="cpu").logits(UNSEEN)
    np.testing.assert_allclose(fitted.predict_proba(UNSEEN), softmax(logits.astype(float), axis=1), atol=1e-6)


def test_all_texts_but_a_fifth_are_trained_on_and_none_is_held_out(fitted: TextClassifier):
    assert fitted.notes_[0] == "22 of the 110 training examples were set aside for validation."
    assert (fitted.folder_ / "recipe.yaml").is_file()
    assert not (fitted.folder_ / "results.json").exists()


def test_a_fit_says_nothing_unless_it_is_asked(how: dict[str, Any], capfd: Any):
    quick = {**how, "method": "head", "epochs": 1}
    TextClassifier(**quick).fit(TEXTS, LABELS)
    assert capfd.readouterr() == ("", "")
    TextClassifier(**quick, verbose=True).fit(TEXTS, LABELS)
    assert "Training with head" in capfd.readouterr().err


# Labels keep their own type, and the order of the columns is scikit-learn's


@pytest.mark.parametrize(
    "names",
    [
        pytest.param((10, 9), id="ints"),
        pytest.param(("10", "9"), id="digits"),  # which lightune sorts by size and numpy by letters
        pytest.param((True, False), id="bools"),
        pytest.param((1.0, -1.0), id="floats"),
        pytest.param(("a|b", "B c"), id="words"),
    ],
)
def test_labels_come_back_as_they_were_given(how: dict[str, Any], names: tuple[Any, Any]):
    y = np.array([names[label == "positive"] for label in LABELS])
    found = TextClassifier(**how).fit(TEXTS, y)
    assert found.classes_.dtype == y.dtype
    assert found.classes_.tolist() == sorted(names)
    answers = found.predict(UNSEEN)
    assert answers.dtype == y.dtype
    assert np.mean(answers == np.array([names[label == "positive"] for label in WANTED])) >= 0.8
    assert found.classes_[found.predict_proba(UNSEEN).argmax(axis=1)].tolist() == answers.tolist()


def test_many_numbers_are_classes_where_a_classifier_is_asked(how: dict[str, Any]):
    """A file with 25 different whole numbers would be read as a regression."""
    y = [number % 25 for number in range(len(TEXTS))]
    found = TextClassifier(**{**how, "method": "head", "epochs": 1}).fit(TEXTS, y)
    assert found.classes_.tolist() == list(range(25))
    assert found.predict_proba(UNSEEN).shape == (40, 25)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda texts: pandas.Series(texts, index=range(7, 7 + len(texts))), id="series"),
        pytest.param(np.array, id="array"),
        pytest.param(lambda texts: np.array(texts, object)[:, None], id="column"),
        pytest.param(tuple, id="tuple"),
    ],
)
def test_texts_may_be_a_column_of_any_kind(fitted: TextClassifier, how: dict[str, Any], given: Made):
    found = TextClassifier(**how).fit(given(TEXTS), pandas.Series(LABELS, dtype="category"))
    np.testing.assert_allclose(found.predict_proba(given(UNSEEN)), fitted.predict_proba(UNSEEN), atol=1e-5)


def test_pairs_of_texts_are_texts(how: dict[str, Any]):
    pairs = [(text, "the book was quite warm") for text in TEXTS]
    found = TextClassifier(**{**how, "method": "head", "epochs": 1}).fit(pairs, LABELS)
    assert found.classifier_.text_columns == ["text", "text_pair"]
    assert found.predict(pairs[:3]).shape == (3,)


# scikit-learn's tools


def test_a_pipeline_is_cross_validated(how: dict[str, Any]):
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    steps = Pipeline([("lower", lower), ("classify", TextClassifier(**how))])
    shouted = [text.upper() for text in TEXTS]
    assert cross_val_score(steps, shouted, LABELS, cv=2).mean() > 0.7
    steps.set_params(classify__epochs=1)
    assert steps.get_params()["classify__epochs"] == 1


def test_a_search_takes_what_is_better_and_fits_it_again(how: dict[str, Any]):
    grid = [{"learning_rate": [1e-9, 5e-3]}, {"method": [{"name": "lora", "rank": 2}], "learning_rate": [1e-9]}]
    found = GridSearchCV(TextClassifier(**how), grid, cv=StratifiedKFold(2), error_score="raise").fit(TEXTS, LABELS)
    assert found.best_params_ == {"learning_rate": 5e-3}
    assert found.score(UNSEEN, WANTED) >= 0.8
    assert found.best_estimator_.folder_.is_dir()


@pytest.mark.long
def test_folds_are_fitted_in_processes_of_their_own(how: dict[str, Any]):
    alone = cross_validate(TextClassifier(**how), TEXTS, LABELS, cv=2, return_estimator=True)
    found = cross_validate(TextClassifier(**how), TEXTS, LABELS, cv=2, return_estimator=True, n_jobs=2)
    for here, there in zip(alone["estimator"], found["estimator"], strict=True):
        np.testing.assert_allclose(here.predict_proba(UNSEEN), there.predict_proba(UNSEEN), atol=1e-6)


def test_a_clone_has_the_parameters_and_nothing_that_was_fitted(fitted: TextClassifier):
    made = clone(fitted)
    assert made.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(made)
    with pytest.raises(NotFittedError):
        made.predict(UNSEEN)
    assert not hasattr(made, "classifier_")


# The folder, and what is pickled


def test_a_fitted_estimator_is_written_and_read_with_its_files(fitted: TextClassifier):
    sink = io.BytesIO()
    joblib.dump(fitted, sink)
    sink.seek(0)
    again = joblib.load(sink)
    assert again.folder_ != fitted.folder_
    np.testing.assert_allclose(again.predict_proba(UNSEEN), fitted.predict_proba(UNSEEN), atol=1e-5)
    assert (again.classes_.tolist(), again.notes_) == (fitted.classes_.tolist(), fitted.notes_)
    files = fitted.__getstate__()["_files"]
    assert "adapter/MANIFEST.json" in files
    assert all(type(content) is bytes for content in files.values())


def test_a_copy_outlives_the_estimator_and_both_remove_their_folders(how: dict[str, Any]):
    first = TextClassifier(**{**how, "method": "head", "epochs": 1}).fit(TEXTS, LABELS)
    expected, folder = first.predict_proba(UNSEEN), first.folder_
    second = copy.deepcopy(first)
    del first
    gc.collect()
    assert not folder.parent.exists()
    np.testing.assert_allclose(second.predict_proba(UNSEEN), expected, atol=1e-5)
    other = second.folder_
    second.fit(TEXTS, LABELS)
    gc.collect()
    assert (other.parent.exists(), second.folder_.is_dir()) == (False, True)


def test_an_output_is_a_folder_that_the_commands_take(how: dict[str, Any], tmp_path: Path, capsys: Any):
    made = TextClassifier(**how, output=tmp_path / "kept").fit(TEXTS, LABELS)
    assert made.folder_ == tmp_path / "kept"
    expected = made.predict(UNSEEN)
    file = write_csv(tmp_path / "unseen.csv", list(zip(UNSEEN, expected.tolist(), strict=True)))
    with pytest.raises(RecipeError, match="already exists"):
        made.fit(TEXTS, LABELS)
    assert made.predict(UNSEEN).tolist() == expected.tolist()
    del made
    gc.collect()
    assert main(["evaluate", str(tmp_path / "kept"), "--test", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0


def test_the_same_seed_gives_the_same_estimator_and_another_another(how: dict[str, Any]):
    quick = {**how, "epochs": 1}
    seeds = [3, np.int64(3), 4, np.random.RandomState(3)]
    found = [TextClassifier(**quick, random_state=seed).fit(TEXTS, LABELS).predict_proba(UNSEEN) for seed in seeds]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert not np.allclose(found[0], found[2], atol=1e-3)
    assert not np.allclose(found[0], found[3], atol=1e-3)


# What is refused


@pytest.mark.parametrize(
    ("texts", "y", "told"),
    [
        (TEXTS[:20], LABELS[:19], "inconsistent numbers of samples"),
        (TEXTS[:20], ["a"] * 20, "y has 1 class;"),
        (TEXTS[:20], [0.5 * number for number in range(20)], "Unknown label type"),
        (["", *TEXTS[1:20]], LABELS[:20], "DATA-013"),
        (["a", Path("b"), *TEXTS[2:20]], LABELS[:20], "DATA-067"),
        (pandas.DataFrame({"text": TEXTS[:20]}), LABELS[:20], "DATA-043"),
        (TEXTS[:20], [label + " " * (number % 3) for number, label in enumerate(LABELS[:20])], "DATA-033"),
        ([], [], "y has 0 classes;"),
    ],
)
def test_what_cannot_be_fitted_is_a_value_error(how: dict[str, Any], texts: Any, y: Any, told: str):
    with pytest.raises(ValueError, match=told):
        TextClassifier(**how).fit(texts, y)


def test_what_cannot_be_answered_is_both_a_value_error_and_ours(fitted: TextClassifier):
    with pytest.raises(InputError) as caught:
        fitted.predict(["fine", " "])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, lightune.LightuneError)
    assert caught.value.code == "DATA-040"


@pytest.mark.parametrize("parameters", [{"settings": {"training.sede": 1}}, {"method": "lroa"}, {"epochs": 0}])
def test_parameters_are_checked_when_fitting(how: dict[str, Any], parameters: dict[str, Any]):
    with pytest.raises(RecipeError):
        TextClassifier(**{**how, **parameters}).fit(TEXTS, LABELS)


def test_class_weights_are_balanced_or_none(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr("lightune.sklearn.fit", lambda recipe, *_: seen.append(recipe.training.class_weights) or ())
    for weight in (None, "balanced"):
        with pytest.raises(lightune.LightuneError):  # nothing was saved, so nothing can be loaded
            TextClassifier(**how, class_weight=weight).fit(TEXTS, LABELS)
    assert seen == ["none", "auto"]
    with pytest.raises(ValueError, match='neither None nor "balanced"'):
        TextClassifier(**how, class_weight={0: 1}).fit(TEXTS, LABELS)


def test_an_interruption_ends_a_search(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise InterruptedRunError("RUN-001", "stopped")

    monkeypatch.setattr(fitting, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(TextClassifier(**how), TEXTS, LABELS, cv=2)


# Numbers


def test_a_regressor_answers_in_the_unit_of_the_targets(how: dict[str, Any]):
    def long(texts: list[str]) -> Any:
        return np.array([1000.0 + 10 * len(text.split()) for text in texts])

    made = TextRegressor(**{**how, "epochs": 20}).fit(TEXTS, long(TEXTS))
    answers = made.predict(UNSEEN)
    assert (answers.shape, answers.dtype) == ((40,), np.float64)
    assert np.corrcoef(answers, long(UNSEEN))[0, 1] > 0.5
    assert abs(answers.mean() - long(UNSEEN).mean()) < long(UNSEEN).std()
    again = copy.deepcopy(made)
    np.testing.assert_allclose(again.predict(UNSEEN), answers, rtol=1e-5)
    assert not hasattr(made, "classes_")
    with pytest.raises(ValueError, match="NaN"):
        made.fit(TEXTS, [float("nan"), *long(TEXTS)[1:]])


# scikit-learn's own checks. They pass numbers: here a row becomes a text with four words for each of its first numbers.


def texts_of(numbers: Any) -> list[str]:
    rows = np.atleast_2d(np.real(np.asarray(numbers))).astype(float)[:, :5]
    places = (np.round((rows + 100) * 1000).astype(int)[..., None] // 40 ** np.arange(4)) % 40
    return [" ".join(WORDS[place] for place in row.ravel()) for row in places]


class OfNumbers:
    """Turns numbers into texts before an estimator reads them."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array, tags.input_tags.string = True, False, False
        return tags

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        return super().fit(texts_of(X), y)

    def predict(self, X: Any) -> Any:  # noqa: N803
        check_is_fitted(self)
        return super().predict(texts_of(X))


class NumbersClassifier(OfNumbers, TextClassifier):
    """A TextClassifier of numbers."""

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        is_text = len(X) and isinstance(X[0], str)
        return super().predict_proba(X if is_text else texts_of(X))


class NumbersRegressor(OfNumbers, TextRegressor):
    """A TextRegressor of numbers."""


WITHOUT_FIT = [
    "check_do_not_raise_errors_in_init_or_set_params", "check_estimator_cloneable", "check_estimator_repr",
    "check_estimator_tags_renamed", "check_estimators_unfitted", "check_get_params_invariance", "check_mixin_order",
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_set_params",
    "check_valid_tag_types",
]  # fmt: skip
OF_ANY = [
    "check_complex_data", "check_dict_unchanged", "check_dont_overwrite_parameters", "check_dtype_object",
    "check_estimators_dtypes", "check_estimators_fit_returns_self", "check_estimators_overwrite_params",
    "check_estimators_pickle", "check_f_contiguous_array_estimator", "check_fit2d_1feature",
    "check_fit_check_is_fitted", "check_fit_idempotent", "check_fit_score_takes_y", "check_inplace_ensure_writeable",
    "check_methods_sample_order_invariance", "check_pipeline_consistency", "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input", "check_requires_y_none", "check_supervised_y_2d", "check_supervised_y_no_nan",
]  # fmt: skip
OF_CLASSIFIERS = [
    "check_classifier_data_not_an_array", "check_classifiers_classes", "check_classifiers_one_label",
    "check_classifiers_regression_target", "check_decision_proba_consistency", "check_methods_subset_invariance",
]  # fmt: skip
OF_REGRESSORS = [
    "check_regressor_data_not_an_array", "check_regressors_int", "check_regressors_no_decision_function",
]  # fmt: skip


@pytest.fixture
def with_defaults(tiny_models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks make clones and set parameters: a quick set-up has to be the default itself."""
    compose = lightune.sklearn.compose

    def quick(start: Any, flags: Any, settings: Any) -> Any:
        given = {"model": str(tiny_models["distilbert"]), "method": "head", "epochs": 1, "learning_rate": 2e-2}
        return compose(start, {**flags, **given, "device": "cpu"}, {**settings, "data.on_duplicate": "keep"})

    monkeypatch.setattr("lightune.sklearn.compose", quick)


@pytest.mark.parametrize("kind", [TextClassifier, TextRegressor])
@pytest.mark.parametrize("check", WITHOUT_FIT)
def test_scikit_learns_checks_of_an_estimator(check: str, kind: type):
    getattr(estimator_checks, check)(kind.__name__, kind())


@pytest.mark.usefixtures("with_defaults")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize(
    ("kind", "check"),
    [
        *((NumbersClassifier, check) for check in OF_ANY + OF_CLASSIFIERS),
        *((NumbersRegressor, check) for check in OF_ANY + OF_REGRESSORS),
    ],
)
def test_scikit_learns_checks_of_a_fit(check: str, kind: type):
    getattr(estimator_checks, check)(kind.__name__, kind())
