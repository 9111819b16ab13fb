"""Weights that are no numbers are refused where they are read, on every path that would answer with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import lightune
from lightune.errors import ArtifactError
from lightune.inference.torch_free import quick_logits
from lightune.safe_files import write_manifest
from saved_adapters import make_adapter


def spoil(path: Path, value: float) -> None:
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[-1] = value
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.guarantee("An adapter with NaN or infinity in it answers nothing, with torch or without")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_adapter_with_a_value_that_is_no_number_answers_on_neither_path(
    tiny_models: Any, tmp_path: Path, value: float
) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "adapter", "lora", ["no", "yes"], max_length=20)
    assert quick_logits(str(folder), ["a fine film"]) is not None
    spoil(folder / "adapter_model.safetensors", value)
    (folder / "MANIFEST.json").unlink()
    write_manifest(folder)  # changed together with its manifest it is still only data
    for read in (lambda: lightune.load(folder), lambda: quick_logits(str(folder), ["a fine film"])):
        with pytest.raises(ArtifactError, match="NaN or infinity in") as caught:
            read()
        assert (caught.value.code, caught.value.exit_code) == ("ARTIFACT-051", 4)


@pytest.mark.guarantee("A base model with NaN in it is refused before anything is measured")
def test_a_base_model_with_a_value_that_is_no_number_is_refused_before_anything_is_measured(
    tiny_models: Any, tiny_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_models["distilbert"], base)
    spoil(next(base.glob("*.safetensors")), float("nan"))
    recipe = tiny_recipe("distilbert", "lora").model_copy(update={"model": str(base)})
    with pytest.raises(ArtifactError, match="ARTIFACT-051"):
        lightune.run(recipe, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]
