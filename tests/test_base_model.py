"""Where a saved adapter finds the base model that it names: on request, beside it, or not at all; never another."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import lightune
from lightune.artifact import load_adapter
from lightune.cli.main import main
from lightune.errors import ArtifactError
from lightune.models import embedded
from lightune.models.load import find_model, fingerprint
from lightune.safe_files import write_json, write_manifest
from reloading_here import reloading_here
from saved_adapters import make_adapter

TEXTS = ["a lovely film", "the soup was dreadful and cold"]


@pytest.fixture
def moved_run(tiny_run: Any, tmp_path: Path) -> Path:
    """A run folder that lies elsewhere than where it was made."""
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "other" / "place"))


@pytest.fixture
def moved_base(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    """The run's base model under another name."""
    return Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "bases" / "renamed"))


def refused(folder: Path, **options: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        lightune.load(folder, **options)
    assert caught.value.exit_code == 4
    return caught.value


def set_model(run: Path, value: Any) -> None:
    """Change what recipe.yaml says of the base."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "model": value}), encoding="utf-8")


def change_config(folder: Path, **change: Any) -> None:
    raw = json.loads((folder / "lightune.json").read_text(encoding="utf-8"))
    write_json(folder / "lightune.json", {**raw, **change})
    write_manifest(folder)


def same_logits(one: Any, run: Any) -> None:
    np.testing.assert_array_equal(one.logits(TEXTS), lightune.load(run.folder).logits(TEXTS))


def test_the_adapter_names_its_base_and_no_path(tiny_run: Any, tiny_models: dict[str, Path]) -> None:
    text = (tiny_run.folder / "adapter" / "lightune.json").read_text(encoding="utf-8")
    about, base = json.loads(text), tiny_models["distilbert"]
    assert (about["format_version"], about["base_model"], about["base_revision"]) == (3, "distilbert", None)
    assert about["base_sha256"] == fingerprint(find_model(str(base)))
    assert str(base.parent) not in text
    assert yaml.safe_load((tiny_run.folder / "recipe.yaml").read_text(encoding="utf-8"))["model"] == str(base)


def test_a_run_that_moved_finds_its_base(moved_run: Path, tiny_run: Any) -> None:
    same_logits(lightune.load(moved_run), tiny_run)
    same_logits(lightune.load(moved_run / "adapter"), tiny_run)
    same_logits(lightune.load_adapters({"it": moved_run})["it"], tiny_run)


def test_a_run_on_a_relative_folder_is_read_from_anywhere(
    tiny_recipe: Callable[..., Any], tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reload check, which runs before the record is written, finds the recipe too."""
    monkeypatch.chdir(tmp_path)
    given = os.path.relpath(tiny_models["distilbert"])
    recipe = tiny_recipe("distilbert", "head", num_train_epochs=1).model_copy(update={"model": given})
    with reloading_here():
        record = lightune.run(recipe, tmp_path / "run")
    assert record.reload_check.passed, record.notes
    assert record.recipe["model"] == given
    (tmp_path / "far" / "away").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "far" / "away")
    wanted = str(tiny_models["distilbert"].resolve())
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8"))["model"] == wanted
    assert lightune.load(tmp_path / "run").predict(TEXTS[0])


def test_a_base_that_moved_is_named_and_then_found(moved_run: Path, moved_base: Path, tiny_run: Any) -> None:
    set_model(moved_run, str(moved_base.parent / "gone"))
    error = refused(moved_run)
    assert error.code == "ARTIFACT-042"
    assert "distilbert, sha256 " + fingerprint(find_model(str(moved_base)))[:12] in error.message
    assert f"it is not at {moved_base.parent / 'gone'} any more" in error.message
    assert "--model PATH" in error.hint
    same_logits(lightune.load(moved_run, base_model=str(moved_base)), tiny_run)
    same_logits(lightune.load_adapters({"it": moved_run}, base_model=str(moved_base))["it"], tiny_run)


@pytest.mark.parametrize("option", ["--model", "--base-model"])
def test_the_command_line_takes_the_place_of_the_base(
    moved_run: Path, moved_base: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_model(moved_run, "gone")
    assert main(["predict", str(moved_run), TEXTS[0]]) == 4
    assert "ARTIFACT-042" in capsys.readouterr().err
    assert main(["predict", str(moved_run), TEXTS[0], option, str(moved_base)]) == 0
    assert main(["evaluate", str(moved_run), option, str(moved_base), "--json"]) == 0


def test_another_base_is_refused_whoever_names_it(moved_run: Path, tiny_models: dict[str, Path]) -> None:
    other = str(tiny_models["bert"])
    assert refused(moved_run, base_model=other).code == "ARTIFACT-007"
    set_model(moved_run, other)
    error = refused(moved_run)
    assert error.code == "ARTIFACT-007"
    assert f"{other} is not the base model" in error.message
    assert "--model PATH" in error.hint


@pytest.mark.parametrize("recipe", [None, "", "- a list", "model: 7", "model: [", "\x00"])
def test_an_adapter_without_its_recipe_asks_for_its_base(moved_run: Path, recipe: str | None) -> None:
    (moved_run / "recipe.yaml").unlink()
    if recipe is not None:
        (moved_run / "recipe.yaml").write_text(recipe, encoding="utf-8")
    error = refused(moved_run)
    assert error.code == "ARTIFACT-042"
    assert "recipe.yaml does not say where it is" in error.message


def test_format_1_holds_the_path_itself(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["bert"], tmp_path / "adapter", "head", ["negative", "positive"])
    change_config(folder, format_version=1, base_model=str(tiny_models["bert"]))
    assert load_adapter(folder).loaded.source.folder == tiny_models["bert"]
    change_config(folder, base_model=str(tmp_path / "gone"))
    assert refused(folder).code == "ARTIFACT-042"
    assert load_adapter(folder, str(tiny_models["bert"])).loaded.source.folder == tiny_models["bert"]


@pytest.mark.skipif(embedded.folder() is None, reason="the embedded model is not installed")
def test_the_embedded_base_needs_no_recipe(tmp_path: Path) -> None:
    folder = make_adapter("minilm", tmp_path / "adapter", "head", ["negative", "positive"])
    assert load_adapter(folder).loaded.source.name == "minilm"
