"""Runs on texts that are longer than the model: what is trained, saved, answered and said, cut or in windows."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lightune
from lightune.cli.main import main
from lightune.report.card import render_card
from lightune.sklearn import TextClassifier
from reloading_here import reloading_here
from tiny import BAD, FILLER, GOOD, write_csv


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of texts of 20 words, of which only the last four show the label: two with the same beginning have two."""
    root, found, draw = tmp_path_factory.mktemp("late"), {}, random.Random(5)
    for name, count in (("train", 96), ("validation", 16), ("test", 24)):
        rows = []
        for _ in range(count // 2):
            begin = draw.choices(FILLER, k=16)
            rows += [
                (" ".join([*begin, *draw.choices(own, k=4)]), label)
                for own, label in ((BAD, "negative"), (GOOD, "positive"))
            ]
        found[name] = str(write_csv(root / f"{name}.csv", rows))
    return found


def run_of(tiny_recipe: Callable[..., Any], files: dict[str, str], folder: Path, way: str) -> Any:
    settings = {"num_train_epochs": 6, "per_device_train_batch_size": 8, "precision": "fp32"}
    recipe = tiny_recipe("distilbert", "full", learning_rate=1e-2, **settings)
    data = {"source": files, "max_length": 10, "long_texts": way, "on_duplicate": "keep"}
    with reloading_here():
        return lightune.run({**recipe.model_dump(mode="json"), "data": data}, folder)


def test_windows_find_what_cutting_loses(tiny_recipe: Any, late: dict[str, str], tmp_path: Path, capsys: Any):
    cut = run_of(tiny_recipe, late, tmp_path / "cut", "cut")
    read = run_of(tiny_recipe, late, tmp_path / "windows", "windows")
    # Cut, the two texts of each pair are the same one.
    assert cut.after.accuracy == 0.5
    assert read.after.accuracy > 0.9
    assert (read.reload_check.passed, read.data.truncated_examples) == (True, 0)
    # 20 words in windows of 8, which share 2: three windows for each of the 136 texts.
    assert (read.data.windowed_examples, read.data.windows) == (136, 408)
    assert (cut.data.truncated_examples, cut.data.windowed_examples) == (136, 0)
    assert [note for note in cut.notes if "truncated" in note] == [
        "136 of 136 texts were truncated to 10 tokens; the rest was not read: 55% of their tokens. "
        "--set data.long_texts=windows reads them whole, in about 3.0 windows each: 3.0 times the computation."
    ]
    assert any(
        "136 of 136 texts are longer than 10 tokens: they were read in 3.0 windows" in note for note in read.notes
    )
    folder = tmp_path / "windows"
    assert json.loads((folder / "adapter" / "lightune.json").read_text())["long_texts"] == "windows"
    assert "A text of more than 10 tokens is cut here; lightune reads it whole" in render_card(read)
    assert "is cut here" not in render_card(cut)
    assert "136, in 408 windows" in (folder / "report.html").read_text()
    assert main(["evaluate", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == read.after.accuracy


def test_a_check_says_what_is_cut_and_what_windows_are(late: dict[str, str], tiny_models: Any, capsys: Any):
    given = ["check", late["train"], "--model", str(tiny_models["distilbert"]), "--set", "data.max_length=10"]
    assert main(given) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "reads 10 tokens of each and no more; 55% of their tokens are not read" in said
    assert "-> --set data.long_texts=windows reads them whole, in about 3.0 windows each" in said
    assert main([*given, "--set", "data.long_texts=windows"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "they are read whole, in about 3.0 windows each, of 10 tokens" in said
    assert "not read" not in said


def test_an_estimator_of_scikit_learn_reads_windows_too(late: dict[str, str], tiny_models: Any):
    with Path(late["train"]).open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    settings = {"data.long_texts": "windows", "data.on_duplicate": "keep"}
    model = TextClassifier(str(tiny_models["distilbert"]), "head", epochs=1, max_length=10, settings=settings)
    model.fit([row["text"] for row in rows], [row["label"] for row in rows])
    assert model.classifier_.long_texts == "windows"
    one, other = model.predict_proba([rows[0]["text"], rows[1]["text"]])  # alike in their first 16 words
    assert abs(one - other).max() > 0
    assert any("96 of 96 texts are longer than 10 tokens" in note for note in model.notes_)
