"""Weights that are no numbers are refused where they are read, on every path that would answer with them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

import lightune
from lightune.errors import ArtifactError, TrainingDivergedError
from lightune.inference.torch_free import quick_logits
from lightune.report.summary import print_summary
from lightune.safe_files import write_manifest
from lightune.training.checkpoint import newest
from lightune.training.step import Step
from reloading_here import reloading_here
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


@pytest.mark.guarantee("A weight that becomes NaN or infinite ends the training, and the checkpoint before it stays")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_never_saved(
    tiny_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    update, output = Step._update, tmp_path / "run"

    def spoiling(step: Step) -> None:
        update(step)
        if step.count == 4:  # in a row of the word embeddings that no text of these has: no loss shows it
            step.passes.plain_model.get_input_embeddings().weight.data[-1, 0] = value

    monkeypatch.setattr(Step, "_update", spoiling)
    recipe = tiny_recipe("distilbert", "full", save_steps=2, num_train_epochs=3)
    with pytest.raises(TrainingDivergedError, match=r"step 4: .*is not finite") as caught:
        lightune.run(recipe, output)
    assert f"lightune resume {output}" in caught.value.hint
    found = newest(output.with_name("run.partial"))
    assert found is not None
    assert found.state["step"] == 2


@pytest.mark.guarantee("A loss that never moved and answers that are all alike are named in the summary")
def test_a_training_that_taught_nothing_says_so(
    tiny_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe("distilbert", "lora", num_train_epochs=1, learning_rate=1e-12)
    with reloading_here():
        record = lightune.run(recipe, tmp_path / "run")
    answers = {row["prediction"] for row in csv.DictReader((tmp_path / "run/predictions.csv").open(encoding="utf-8"))}
    print_summary(record, Console(width=200))
    shown = capsys.readouterr().out
    assert "The loss never moved from its start" in shown
    assert "below the method's usual" in shown
    assert ("All 40 test texts get the same answer" in shown) == (len(answers) == 1)
