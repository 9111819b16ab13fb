"""A record as it may be passed on: with names in place of the paths of the disk on which the run was made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from lightune.record import RunRecord
from lightune.values.home import path_at_home, text_at_home, user_path
from lightune.values.secret_names import without_secrets


def without_paths(record: RunRecord) -> RunRecord:
    """Return the record with the names of local files and folders alone, where it has their paths.

    These are the base model, the data and, where its path is absolute, the run folder. Names on the Hub are unchanged,
    and so is everything that was measured.
    """
    recipe, model, data = dict(record.recipe), record.model, record.data
    paths: list[str] = []
    if model.revision is None:
        paths += [model.name, str(recipe.get("model", model.name))]
        recipe["model"], model = base_name(model.name), model.model_copy(update={"name": base_name(model.name)})
    if data.revision is None:
        block = dict(recipe.get("data") or {})
        paths += [data.source, *_files(block.get("source"))]
        recipe["data"] = {**block, "source": _named(block.get("source"))} if "source" in block else block
        data = data.model_copy(update={"source": base_name(data.source)})
    folder = base_name(record.run_folder) if _is_absolute(record.run_folder) else record.run_folder
    notes = [text_at_home(without_secrets(_shortened(note, paths))) for note in record.notes]
    changes = {"recipe": recipe, "model": model, "data": data, "run_folder": folder, "notes": notes}
    return record.model_copy(update=changes)


def without_home(record: RunRecord) -> RunRecord:
    """Return the record as it is kept on this disk: ~ stands for the home folder, whose path has the user's name."""
    recipe, model, data = recipe_at_home(record.recipe), record.model, record.data
    changes = {
        "recipe": recipe,
        "model": model.model_copy(update={"name": path_at_home(model.name)}),
        "data": data.model_copy(update={"source": path_at_home(data.source)}),
        "run_folder": path_at_home(record.run_folder),
        "notes": [text_at_home(without_secrets(note)) for note in record.notes],
    }
    return record.model_copy(update=changes)


def recipe_at_home(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe, as a mapping, with ~ for the home folder in the paths of model and data."""

    def written(source: Any) -> Any:
        if isinstance(source, Mapping):
            return {split: written(path) for split, path in source.items()}
        return path_at_home(source) if isinstance(source, str) else source

    data = dict(recipe.get("data") or {})
    changed = {"data": {**data, "source": written(data["source"])}} if "source" in data else {}
    return {**recipe, **changed, **({"model": written(recipe["model"])} if "model" in recipe else {})}


def base_name(path: str) -> str:
    """Return the last part of a path of any system, or the whole if it has only one."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or path


def _files(source: Any) -> Iterator[str]:
    """Yield the paths of a recipe's data source."""
    named = source.values() if isinstance(source, Mapping) else [source]
    yield from (path for path in named if isinstance(path, str))


def _named(source: Any) -> Any:
    """Return a recipe's data source with names alone."""
    if isinstance(source, Mapping):
        return {split: _named(path) for split, path in source.items()}
    return base_name(source) if isinstance(source, str) else source


def _is_absolute(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _shortened(text: str, paths: Iterable[str]) -> str:
    """Return the text without the folders of these paths, where a word begins with one."""
    written = {form for path in paths for form in (path, str(Path(path)), str(user_path(path)))}
    folders = {path.rstrip("\\/").removesuffix(base_name(path)) for path in written}
    for folder in sorted(filter(None, folders), key=len, reverse=True):
        text = re.sub(rf"(?<![\w./\\~-]){re.escape(folder)}", "", text)
    return text
