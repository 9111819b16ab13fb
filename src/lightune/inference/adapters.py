"""Several adapters on one base model in memory, chosen by name for each call or each text."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightune import runtime
from lightune.artifact import adapter_folder, find_base, load_onto, read_config
from lightune.data.encoding import NoTokensError
from lightune.data.python_values import plain
from lightune.errors import ArtifactError, RecipeError, did_you_mean
from lightune.inference.classifier import Classifier, classifier_of
from lightune.inference.texts import Text, as_texts
from lightune.tasks.answers import Answer

if TYPE_CHECKING:
    from lightune.models.shared_base import SharedBase


class AdapterBank:
    """Adapters by name on one base model, with any methods and labels; make one with `lightune.load_adapters`.

    `bank["x"]` is a Classifier that predicts as if only its adapter were loaded. All of them share the frozen tensors
    of the base model, so do not train or merge their models in place (`save_pretrained` merges a copy). Several threads
    may use it at once.
    """

    def __init__(self, base: SharedBase, base_sha256: str) -> None:
        """Start without adapters; `base_sha256` is the fingerprint of the base model's files."""
        self._base, self._base_sha256 = base, base_sha256
        self._classifiers: dict[str, Classifier] = {}
        self._adding = threading.Lock()

    def __repr__(self) -> str:
        """Name the base model and the adapters."""
        return f"<AdapterBank {self._base.loaded.source.name}: {', '.join(self.names)}>"

    def __len__(self) -> int:
        """Return the number of adapters."""
        return len(self._classifiers)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which they were added."""
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        """Say whether there is an adapter of this name."""
        return name in self._classifiers

    def __getitem__(self, name: str) -> Classifier:
        """Return the classifier of this name. Raises RecipeError when there is none."""
        if not isinstance(name, str) or name not in self._classifiers:
            hint = f"{did_you_mean(str(name), self.names)} There are: {', '.join(self.names) or 'none'}.".strip()
            raise RecipeError("RECIPE-090", f'there is no adapter "{name}".', hint)
        return self._classifiers[name]

    @property
    def names(self) -> list[str]:
        """The adapters' names, in the order in which they were added."""
        return list(self._classifiers)

    def add(self, name: str, folder: Path | str) -> Classifier:
        """Load one more run folder (or its adapter folder); no weights of the base model are read or copied.

        Raises ArtifactError for a damaged folder, or an adapter of another base model or precision; RecipeError when
        the name is taken.
        """
        if not isinstance(name, str) or not name:
            raise RecipeError("RECIPE-091", f"{name!r} is not a name for an adapter.", "Give it a word.")
        with self._adding:  # the RNG that draws new weights is shared by the whole process
            if name in self:
                raise RecipeError("RECIPE-091", f'an adapter "{name}" already exists.', "Remove it first.")
            place = adapter_folder(Path(folder))
            config = read_config(place)
            if config.base_sha256 != self._base_sha256:
                own, here = config.base_model, self._base.loaded.source.name
                message = f"{place}: trained on another base model ({own}) than the one in memory ({here})."
                raise ArtifactError("ARTIFACT-040", message, "Load it separately, or with others of its base model.")
            adapted = load_onto(self._base, place, config)
            self._classifiers[name] = classifier_of(adapted, self._base.device)
            return self._classifiers[name]

    def remove(self, name: str) -> None:
        """Remove an adapter; its memory is freed once nobody holds its classifier. RecipeError when there is none."""
        self[name]  # raises when there is none
        del self._classifiers[name]
        gc.collect()  # modules refer to each other in circles

    def predict(self, texts: Text | Sequence[Text], adapter: str | Sequence[str]) -> list[Answer]:
        """Classify texts with one adapter, or each with the adapter at the same position of a list, in the given order.

        A string is one text, and so is a tuple of two strings, a pair; a list is many texts. The texts of one adapter
        are predicted together, as by its classifier. Raises RecipeError when `adapter` is a list whose length is not
        the number of texts, or holds an unknown name; DataError for a text that does not suit its adapter.
        """
        if isinstance(adapter, str):
            return self[adapter].predict(texts)
        if isinstance(adapter, set | frozenset | Mapping):
            message = f"a {type(adapter).__name__} names the adapters without a defined order."
            raise RecipeError("RECIPE-092", message, "Give a list: one name for each text.")
        rows, names = as_texts(texts), [plain(name) for name in adapter]
        if len(rows) != len(names):
            message = f"the numbers of texts and of adapter names differ: {len(rows)} and {len(names)}."
            hint = (
                "Give one name for each text, or a single name, not in a list, for all. "
                "A tuple of two strings is one text, a pair; give several texts as a list."
            )
            raise RecipeError("RECIPE-092", message, hint)
        asked = {name: self[name] for name in names}
        for number, (text, name) in enumerate(zip(rows, names, strict=True), 1):
            asked[name].row(text, number)  # so that an error names the text's number among all texts
        answers: dict[int, Answer] = {}
        for name, classifier in asked.items():
            places = [place for place, wanted in enumerate(names) if wanted == name]
            try:
                found = classifier.predict([rows[place] for place in places])
            except NoTokensError as error:
                raise NoTokensError(places[error.index]) from error
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(rows))]


def load_adapters(
    folders: Mapping[str, Path | str], base_model: str | None = None, device: str = "auto"
) -> AdapterBank:
    """Load run folders (or adapter folders) by name, all on one base model, which is loaded once.

    `base_model` says where the base model is, if not where the run found it. Every adapter is verified and loaded
    strictly. Raises RecipeError when none is given, and the errors of `AdapterBank.add`.
    """
    from lightune.models.shared_base import load_base

    if not folders or not isinstance(folders, Mapping):
        raise RecipeError("RECIPE-093", "no adapter is given.", 'Give names and folders: {"sentiment": "runs/a-1"}.')
    target = runtime.choose_device(device)
    first = adapter_folder(Path(next(iter(folders.values()))))
    config = read_config(first)
    base = load_base(find_base(config, first, base_model), config.task, config.model_precision, target)
    bank = AdapterBank(base, config.base_sha256)
    for name, folder in folders.items():
        bank.add(name, folder)
    return bank
