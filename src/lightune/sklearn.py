"""scikit-learn's estimators of texts, for Pipeline, cross_val_score, GridSearchCV and clone.

Texts are a sequence of strings, or of pairs of strings. A fit trains on all of them but a fifth, which chooses the best
epoch if it has 100 texts or more. Nothing else is measured: that is what scikit-learn's own tools are for, and
`lightune.run`.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from lightune.bounded import first_twin
from lightune.data.python_data import TEXT_PAIR, python_tables, text_and_label_columns
from lightune.data.sources import PYTHON
from lightune.durable import disk, make_folder, write_file
from lightune.errors import DataError, InterruptedRunError
from lightune.fitting import fit
from lightune.inference.classifier import Classifier, load
from lightune.inference.texts import as_texts
from lightune.progress import Silent, default_reporter
from lightune.recipe import Recipe
from lightune.recipes.compose import compose
from lightune.run_folder import RunFolder
from lightune.values.label_text import label_text

Array = NDArray[Any]
FILES = "_files"  # of the state that is pickled: the folder's files


class InputError(DataError, ValueError):
    """Texts or targets that cannot be used: a DataError, and the ValueError that scikit-learn's conventions ask for."""


@contextmanager
def _value_errors() -> Iterator[None]:
    """Raise each DataError as an InputError."""
    try:
        yield
    except DataError as error:
        raise InputError(error.code, error.message, error.hint) from error


class _Temporary:
    """A place for a run folder, which is removed with the estimator that holds it, or with its next fit."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="lightune-")
        self.run = Path(folder) / "run"
        weakref.finalize(self, disk.remove, Path(folder))


class _TextEstimator(BaseEstimator):
    """What both estimators share: the parameters, training, and the folder of what was trained."""

    _task: ClassVar[str]
    _label: ClassVar[str]  # the name of the column
    _own: _Temporary | None

    # scikit-learn reads the parameters from this signature, so each stands here and is kept as it was given.
    def __init__(
        self,
        model: str | None = None,
        method: str | Mapping[str, Any] | None = None,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
        device: str = "auto",
        output: Path | str | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.method = method
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_length = max_length
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.output = output
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Say that the input is texts, and that targets are needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        tags.target_tags.required = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters, attributes and the bytes of the folder's files; the model is loaded again from them."""
        state = dict(super().__getstate__())
        for name in ("classifier_", "_own"):
            state.pop(name, None)
        folder = state.pop("folder_", None)
        if folder is not None:
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            state[FILES] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Write the files into a temporary folder of its own."""
        files = state.pop(FILES, None)
        super().__setstate__(state)
        if files is not None:
            self._own = _Temporary()
            self.folder_ = self._own.run
            for name, content in files.items():
                path = self.folder_ / name
                make_folder(path.parent)
                write_file(path, content)

    @cached_property
    def classifier_(self) -> Classifier:
        """The trained model, loaded from `folder_`; see `lightune.load`."""
        check_is_fitted(self, "folder_")
        return load(self.folder_, device=self.device)

    def _fit(self, texts: Sequence[Any], targets: Sequence[Any]) -> Self:
        columns = text_and_label_columns(texts, targets, self._label)
        recipe = self._recipe([name for name in columns if name != self._label])
        own = _Temporary() if self.output is None else None
        reporter = default_reporter() if self.verbose else Silent()
        try:
            with _value_errors(), RunFolder(recipe.name, self.output if own is None else own.run) as place:
                notes = fit(recipe, python_tables(columns, recipe.data, recipe.task), place.working, reporter)
        except InterruptedRunError as error:  # a search takes any other error for a fit that failed, and goes on
            raise KeyboardInterrupt from error
        self.__dict__.pop("classifier_", None)
        self._own, self.folder_, self.notes_ = own, place.final.resolve(), notes
        _ = self.classifier_  # what answers is what was saved
        return self

    def _recipe(self, texts: Sequence[str]) -> Recipe:
        """Return the recipe of the parameters; what is None there is the recipe's own default."""
        flags = {
            "data": PYTHON,
            "task": self._task,
            "text_column": TEXT_PAIR if len(texts) > 1 else texts[0],
            "label_column": self._label,
            "model": self.model,
            "method": self.method if isinstance(self.method, str) else None,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "seed": self._seed(),
            "device": self.device,
        }
        settings: dict[str, Any] = {"name": type(self).__name__, "data.max_length": self.max_length}
        if isinstance(self.method, Mapping):
            settings["method"] = dict(self.method)
        return compose(None, flags, {**settings, **self._more_settings(), **(self.settings or {})}).recipe

    def _more_settings(self) -> dict[str, Any]:
        return {}

    def _seed(self) -> int | None:
        if self.random_state is None:
            return None
        is_seed = isinstance(self.random_state, Integral)
        return int(self.random_state if is_seed else check_random_state(self.random_state).randint(2**31 - 1))


def _texts(X: Any) -> Sequence[Any]:  # noqa: N803 (scikit-learn's name)
    with _value_errors():
        return as_texts(X)


class TextClassifier(ClassifierMixin, _TextEstimator):
    """A classifier of texts: a pre-trained transformer of which a small part is trained.

    Parameters; what is None is the recipe's own default:

    - `model`: a Hub name, a local folder, or minilm. `method`: a name, or a mapping of its name and options.
    - `epochs` (None: by the number of texts), `batch_size`, `learning_rate`, `max_length` (in tokens); `class_weight`:
      None or "balanced".
    - `settings`: any other recipe keys, {"training.weight_decay": 0.1, "data.validation_examples": 50}.
    - `random_state`: a fit is repeatable, also with None, which is the recipe's seed.
    - `device`: auto, cpu, cuda or mps. `verbose`: progress is shown.
    - `output`: a new folder for what is trained, which `lightune predict` and `evaluate` take; by default a temporary
      one. In a search, leave it out.

    Attributes: `classes_`, sorted as scikit-learn sorts them; `folder_`, where adapter and recipe are; `notes_`, what
    was odd or left out; `classifier_`, the model as `lightune.load` returns it. A fitted estimator can be pickled: then
    it carries the files of its folder, which are checked when the model is loaded from them.
    """

    _task = "classification"
    _label = "label"

    def __init__(
        self,
        model: str | None = None,
        method: str | Mapping[str, Any] | None = None,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        max_length: int | None = None,
        class_weight: str | None = None,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
        device: str = "auto",
        output: Path | str | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model, method, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, max_length=max_length,
            settings=settings, random_state=random_state, device=device, output=output, verbose=verbose,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 (scikit-learn's names)
        """Train on texts and one label for each; labels may be strings, whole numbers or booleans.

        Raises ValueError for labels that are none, and InputError for texts and labels that cannot be used.
        """
        texts, labels = _texts(X), column_or_1d(y, warn=True)
        check_consistent_length(texts, labels)
        check_classification_targets(labels)
        encoder = LabelEncoder().fit(labels)
        names = [label_text(label) for label in encoder.classes_.tolist()]
        if len(names) < 2:
            text = f"{PYTHON}: y has {len(names)} class{'es' * (not names)}; two or more are needed."
            raise InputError("DATA-022", text, "Give texts of another class.")
        if (twin := first_twin(names)) is not None:
            raise InputError("DATA-033", f'{PYTHON}: several labels are read as "{twin}".', "Write them alike.")
        self._fit(texts, [names[code] for code in encoder.transform(labels).tolist()])
        self.classes_, self._names = encoder.classes_, names
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the likeliest label of each text, (texts,), as it was given to `fit`."""
        shares = self.predict_proba(X)
        found: Array = self.classes_[shares.argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return the probability of each label, (texts, labels), in the order of `classes_`."""
        check_is_fitted(self)
        with _value_errors():
            found = self.classifier_.predict_proba(X)
        return found[:, [self.classifier_.labels.index(name) for name in self._names]]

    def _more_settings(self) -> dict[str, Any]:
        if self.class_weight not in (None, "balanced"):
            raise ValueError(f'class_weight: {self.class_weight!r} is neither None nor "balanced".')
        weights = {"training.class_weights": "auto"} if self.class_weight else {}
        return {"data.label_kind": "class", **weights}


class TextRegressor(RegressorMixin, _TextEstimator):
    """A regression from texts to numbers: a pre-trained transformer of which a small part is trained.

    Parameters and attributes are those of TextClassifier, without `class_weight` and `classes_`.
    """

    _task = "regression"
    _label = "target"

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train on texts and one number for each, in any unit.

        Raises ValueError for what is no finite number, and InputError for texts and numbers that cannot be used.
        """
        texts, numbers = _texts(X), check_array(column_or_1d(y, warn=True), ensure_2d=False, dtype=np.float64)
        check_consistent_length(texts, numbers)
        return self._fit(texts, numbers.tolist())

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the number of each text, (texts,), in the unit of the targets."""
        check_is_fitted(self)
        with _value_errors():
            answers: Sequence[Any] = self.classifier_.predict(X)
        return np.array([answer.value for answer in answers], np.float64)
