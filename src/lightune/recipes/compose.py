"""A recipe file, then flags, then `--set`; later ones override earlier ones. Nothing is built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lightune.errors import RecipeError, did_you_mean, similar_path
from lightune.methods import make_method
from lightune.recipe import MethodBlock, Recipe, parse_recipe
from lightune.recipe_yaml import read_yaml, read_yaml_file, write_yaml
from lightune.tasks import require_task

QUICKSTART = "quickstart"
DEFAULT = "default"  # for other data or another model than the quickstart's
DATA_ENDINGS = frozenset({".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet", ".xlsx", ".gz"})
# Each flag of `run` and the recipe key it sets.
FLAGS: dict[str, str] = {
    "model": "model",
    "task": "task",
    "data": "data.source",
    "train": "data.source.train",
    "validation": "data.source.validation",
    "test": "data.source.test",
    "text_column": "data.text_column",
    "label_column": "data.label_column",
    "label_columns": "data.label_columns",
    "label_kind": "data.label_kind",
    "label_separator": "data.label_separator",
    "separator": "data.separator",
    "encoding": "data.encoding",
    "header_row": "data.header_row",
    "column_names": "data.column_names",
    "sheet": "data.sheet",
    "decimal": "data.decimal",
    "train_examples": "data.train_examples",
    "validation_examples": "data.validation_examples",
    "test_examples": "data.test_examples",
    "fingerprints": "data.fingerprints",
    "method": "method.name",
    "epochs": "training.num_train_epochs",
    "batch_size": "training.per_device_train_batch_size",
    "learning_rate": "training.learning_rate",
    "seed": "training.seed",
    "device": "device",
    "precision": "training.precision",
}


@dataclass(frozen=True)
class Composed:
    """A complete recipe, and notes on how it was composed."""

    recipe: Recipe
    notes: list[str]


def shipped() -> dict[str, str]:
    """Return the shipped recipes: name -> description."""
    return {name: read_recipe(name).get("description", "") for name in _shipped_names()}


def read_recipe(name_or_path: str) -> dict[str, Any]:
    """Return the mapping of a shipped recipe or of a YAML file, not yet validated."""
    if name_or_path in _shipped_names():
        text = (resources.files("lightune.recipes") / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return dict(read_yaml(text))
    path = Path(name_or_path)
    if path.suffix.lower() in DATA_ENDINGS:
        hint = f"Try: lightune run --train {name_or_path}"
        raise RecipeError("RECIPE-009", f"{name_or_path}: this is data, not a recipe.", hint)
    if not path.is_file() and path.suffix.lower() in {".yaml", ".yml"}:
        hint = similar_path(path) or "Check the path of the recipe."
        raise RecipeError("RECIPE-003", f"{name_or_path}: there is no such file.", hint)
    if not path.is_file():
        names = _shipped_names()
        hint = f"{did_you_mean(name_or_path, names)} Shipped recipes: {', '.join(names)}; or give a YAML file.".strip()
        raise RecipeError("RECIPE-003", f'there is no recipe "{name_or_path}".', hint)
    try:
        found = read_yaml_file(path)
    except RecipeError as error:
        raise RecipeError(error.code, f"{path}: {error.message}", error.hint) from error
    except Exception as error:  # PyYAML passes on any exception of an invalid date or number
        raise RecipeError("RECIPE-004", f"{path}: not readable as YAML: {error}") from error
    if not isinstance(found, dict):
        raise RecipeError("RECIPE-005", f"{path}: a recipe is a mapping of keys to values.", _example())
    return {"name": _as_name(path.stem), **found}


def compose(
    start: Recipe | Mapping[str, Any] | str | None,
    flags: Mapping[str, Any],
    settings: Sequence[str] | Mapping[str, Any] = (),
) -> Composed:
    """Return the recipe for these arguments; RecipeError lists what is wrong.

    `start` is a recipe, a mapping of its keys, or the name of a shipped one or of a YAML file; None is the
    quickstart, or the default where other data or another model is given.
    `settings` are recipe keys, "training.seed=7" each or a mapping. A method given by a flag replaces the whole method
    block. A learning rate that the recipe gave for another method is replaced by the new method's default, unless it
    is set here too.
    """
    given = _given(flags, settings)
    if isinstance(start, Recipe):
        if not given:
            return Composed(start, [])
        start = start.model_dump()
    mapping = _usual(given) if start is None else read_recipe(start) if isinstance(start, str) else dict(start)
    notes = _make_room(mapping, given)
    _require_train(mapping, given)
    for key, value in given.items():
        _set(mapping, key, value)
    return Composed(_checked(mapping, f'the recipe "{start}"' if isinstance(start, str) else "the recipe"), notes)


def _given(flags: Mapping[str, Any], settings: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return what flags and settings give, by recipe key."""
    unknown = next((flag for flag in flags if flag not in FLAGS), None)
    if unknown is not None:
        hint = f"{did_you_mean(unknown, FLAGS)} Valid: {', '.join(FLAGS)}.".strip()
        raise RecipeError("RECIPE-013", f'there is no flag "{unknown}".', hint)
    given = {FLAGS[flag]: value for flag, value in flags.items() if value is not None}
    given.update(settings if isinstance(settings, Mapping) else map(_parse_setting, settings))
    if "data.source" in given and {"data.source.train", "data.source.validation", "data.source.test"} & set(given):
        raise RecipeError("RECIPE-008", "give the data once: --data, or --train with its other files.", "See --help.")
    return given


def to_yaml(recipe: Recipe) -> str:
    """Return the recipe as YAML, every default written out."""
    mapping = recipe.model_dump(mode="json")
    return write_yaml(mapping)


def _shipped_names() -> list[str]:
    folder = resources.files("lightune.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _make_room(mapping: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Remove from the recipe what the arguments replace as a whole; return notes about it."""
    notes = []
    block = mapping.get("method")
    before = block if isinstance(block, str) else _block(mapping, "method").get("name", MethodBlock().name)
    wanted = given.get("method.name")
    if wanted is not None:
        mapping["method"] = {"name": wanted}
        training = _block(mapping, "training")
        rate = training.get("learning_rate")
        if wanted != before and rate is not None and "training.learning_rate" not in given:
            mapping["training"] = {**training, "learning_rate": None}
            notes.append(f"The recipe's learning rate {rate} was for {before}; {wanted} uses its own default.")
    elif isinstance(block, str):
        mapping["method"] = {"name": block}
    for key, other in (("label_column", "label_columns"), ("label_columns", "label_column")):
        if given.get(f"data.{key}") is not None and f"data.{other}" not in given:
            mapping["data"] = {**_block(mapping, "data"), other: None}
    if any(key == "data.source" or key == "data.source.train" for key in given):
        # The label budget is kept; columns, revision and test size were given for another data set.
        kept = (
            "train_examples", "validation_examples", "max_length", "long_texts", "on_unseen_label", "on_missing",
            "on_unreadable", "on_alike_label", "on_rare_label", "on_duplicate", "fingerprints",
        )  # fmt: skip
        mapping["data"] = {key: value for key, value in _block(mapping, "data").items() if key in kept}
    return notes


def _usual(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quickstart, or for other data or another model the default, which is then named after these."""
    quickstart = read_recipe(QUICKSTART)
    data = given.get("data.source.train") or given.get("data.source")
    model = given.get("model", quickstart["model"])
    other_data = data is not None and data != quickstart["data"]["source"]
    if not other_data and model == quickstart["model"]:
        return quickstart
    named_after = data if other_data else model
    name = {"name": _name_from(Path(named_after))} if isinstance(named_after, str) else {}
    return {**read_recipe(DEFAULT), "description": "", **name}


def _block(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a copy of a block; one that is not a mapping counts as empty here, and validation refuses it."""
    found = mapping.get(key)
    return {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def _checked(mapping: dict[str, Any], where: str) -> Recipe:
    """Validate the recipe and the method's options, and report the faults of both at once."""
    faults: list[RecipeError] = []
    method = mapping.get("method")
    options = {"name": method} if isinstance(method, str) else _block(mapping, "method")
    try:
        make_method(str(options.pop("name", MethodBlock().name)), options)
    except RecipeError as error:
        faults.append(error)
    try:
        recipe = parse_recipe(mapping, where)
        require_task(recipe.task, recipe.training.metric_for_best_model)
    except RecipeError as error:
        faults.insert(0, error)
    if len(faults) > 1:
        raise RecipeError(faults[0].code, f"{faults[0].message}\n{faults[1].message}", faults[1].hint) from faults[0]
    if faults:
        raise faults[0]
    return recipe


def _require_train(mapping: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    alone = {"data.source.test", "data.source.validation"} & set(given) and "data.source.train" not in given
    if alone and not isinstance(_block(mapping, "data").get("source"), Mapping):
        raise RecipeError("RECIPE-006", "--test and --validation go with --train.", "Add --train FILE.")


def _parse_setting(setting: str) -> tuple[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise RecipeError(
            "RECIPE-007", f'--set "{setting}": not of the form key=value.', "For example: --set training.seed=7"
        )
    try:
        found = read_yaml(value)
    except RecipeError as error:
        raise RecipeError(error.code, f"--set {key}: {error.message}", error.hint) from error
    except Exception as error:  # as in read_recipe
        raise RecipeError("RECIPE-007", f'--set "{setting}": the value is not YAML.', "Quote it.") from error
    key = key.strip()
    return ("method.name" if key == "method" and isinstance(found, str) else key), found


def _set(mapping: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        inner = mapping.get(part)
        mapping[part] = dict(inner) if isinstance(inner, Mapping) else {}
        mapping = mapping[part]
    mapping[last] = value


def _name_from(path: Path) -> str:
    """Name a run after its data: the file, or its folder when the file is just called train."""
    stem = path.stem if path.stem.lower() not in {"train", "training", "data"} else path.resolve().parent.name
    return _as_name(stem)


def _as_name(text: str) -> str:
    """Return a text as the name of a run, valid as a folder name on any system: ASCII letters, digits and ._-"""
    plain = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "._-" else "-" for letter in text)
    return plain.strip("._-")[:64] or "run"


def _example() -> str:
    return "For example:\n  model: minilm\n  data: {source: {train: train.csv, test: test.csv}}\n  method: {name: lora}"
