"""A recipe file, then flags, then `--set`: the later wins. Nothing is built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lightune.errors import RecipeError, did_you_mean
from lightune.methods import make_method
from lightune.recipe import MethodBlock, Recipe, parse_recipe

DEFAULT = "quickstart"
# Each flag of `run` and the recipe key it sets.
FLAGS: dict[str, str] = {
    "model": "model",
    "data": "data.source",
    "train": "data.source.train",
    "validation": "data.source.validation",
    "test": "data.source.test",
    "text_column": "data.text_column",
    "label_column": "data.label_column",
    "train_examples": "data.train_examples",
    "validation_examples": "data.validation_examples",
    "test_examples": "data.test_examples",
    "method": "method.name",
    "epochs": "training.num_train_epochs",
    "learning_rate": "training.learning_rate",
    "seed": "training.seed",
    "device": "device",
    "precision": "training.precision",
}


@dataclass(frozen=True)
class Composed:
    """A complete recipe, and what a reader should know about how it came about."""

    recipe: Recipe
    notes: list[str]


class _Loader(yaml.SafeLoader):
    """safe_load that refuses a key given twice, where YAML would silently take the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise RecipeError("RECIPE-002", f'line {node.start_mark.line + 1}: the key "{twice[0]}" stands there twice.')
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def shipped() -> dict[str, str]:
    """Return the shipped recipes: name -> description."""
    return {name: read_recipe(name).get("description", "") for name in _shipped_names()}


def read_recipe(name_or_path: str) -> dict[str, Any]:
    """Return the mapping of a shipped recipe or of a YAML file, not yet validated."""
    if name_or_path in _shipped_names():
        text = (resources.files("lightune.recipes") / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return dict(yaml.safe_load(text))
    path = Path(name_or_path)
    if not path.is_file():
        names = _shipped_names()
        hint = f"{did_you_mean(name_or_path, names)} Shipped recipes: {', '.join(names)}; or give a YAML file.".strip()
        raise RecipeError("RECIPE-003", f'there is no recipe "{name_or_path}".', hint)
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError("RECIPE-004", f"{path}: not readable as YAML: {error}") from error
    except RecipeError as error:
        raise RecipeError(error.code, f"{path}: {error.message}") from error
    if not isinstance(found, dict):
        raise RecipeError("RECIPE-005", f"{path}: a recipe is a mapping of keys to values.", _example())
    return {"name": path.stem, **found}


def compose(name: str | None, flags: Mapping[str, Any], settings: Sequence[str] = ()) -> Composed:
    """Return the recipe for these arguments; RecipeError lists what is wrong.

    A method named by a flag replaces the whole method block; a learning rate that the recipe gave for another method
    gives way to the new method's default, unless it was set here too.
    """
    given = {FLAGS[flag]: value for flag, value in flags.items() if value is not None}
    given.update(_parse_setting(setting) for setting in settings)
    mapping = read_recipe(name or DEFAULT)
    notes = _make_room(mapping, given)
    _require_train(mapping, given)
    if name is None and "data.source.train" in given and "name" not in given:
        mapping["name"] = _name_from(Path(str(given["data.source.train"])))
    for key, value in given.items():
        _set(mapping, key, value)
    return Composed(_checked(mapping, f'the recipe "{name}"' if name else "the recipe"), notes)


def to_yaml(recipe: Recipe) -> str:
    """Return the recipe as YAML, every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def _shipped_names() -> list[str]:
    folder = resources.files("lightune.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _make_room(mapping: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Take out of the recipe what the arguments replace as a whole; return the notes on it."""
    notes = []
    block = mapping.get("method", {})
    before = block if isinstance(block, str) else dict(block).get("name", "lora")
    wanted = given.get("method.name")
    if wanted is not None and wanted != before:
        mapping["method"] = {"name": wanted}
        rate = dict(mapping.get("training") or {}).get("learning_rate")
        if rate is not None and "training.learning_rate" not in given:
            mapping["training"] = {**mapping["training"], "learning_rate": None}
            notes.append(f"The recipe's learning rate {rate:g} was for {before}; {wanted} uses its own default.")
    elif isinstance(block, str):
        mapping["method"] = {"name": block}
    if any(key == "data.source" or key == "data.source.train" for key in given):
        # Columns and counts were said of another data set.
        mapping["data"] = {}
    return notes


def _checked(mapping: dict[str, Any], where: str) -> Recipe:
    """Validate the recipe and the method's options, and report the faults of both at once."""
    faults: list[RecipeError] = []
    method = mapping.get("method") or {}
    options = {"name": method} if isinstance(method, str) else dict(method)
    try:
        make_method(str(options.pop("name", MethodBlock().name)), options)
    except RecipeError as error:
        faults.append(error)
    try:
        recipe = parse_recipe(mapping, where)
    except RecipeError as error:
        faults.insert(0, error)
    if len(faults) > 1:
        raise RecipeError(faults[0].code, f"{faults[0]}\n{faults[1].message}", faults[1].hint) from faults[0]
    if faults:
        raise faults[0]
    return recipe


def _require_train(mapping: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    alone = {"data.source.test", "data.source.validation"} & set(given) and "data.source.train" not in given
    if alone and not isinstance((mapping.get("data") or {}).get("source"), Mapping):
        raise RecipeError("RECIPE-006", "--test and --validation go with --train.", "Add --train FILE.")


def _parse_setting(setting: str) -> tuple[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise RecipeError("RECIPE-007", f'--set "{setting}": not of the form key=value.', "--set training.seed=7")
    try:
        return key.strip(), yaml.safe_load(value) if value.strip() else None
    except yaml.YAMLError as error:
        raise RecipeError("RECIPE-007", f'--set "{setting}": the value is not YAML.', "Quote it.") from error


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
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in stem).strip("._-")
    return name[:64] or "run"


def _example() -> str:
    return "For example:\n  model: minilm\n  data: {source: {train: train.csv, test: test.csv}}\n  method: {name: lora}"
