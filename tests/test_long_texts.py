"""Runs on texts that are longer than the model: what is trained, saved, answered and said, cut or in windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lightune
from lightune.cli.main import main
from lightune.report.card import render_card
from reloading_here import reloading_here
from tiny import BAD, FILLER, GOOD, write_csv


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of texts of 20 words, of which only the last ones show the label."""
    root, found = tmp_path_factory.mktemp("late"), {}
    for name, first, count in (("train", 0, 40), ("validation", 40, 16), ("test", 60, 24)):
        rows = []
        for number in range(first, first + count):
            words = [FILLER[(number * step + step) % len(FILLER)] for step in range(1, 17)]
            own = (BAD, GOOD)[number % 2]
            words += [own[(number + step) % len(own)] for step in range(4)]
            rows.append((" ".join(words), ("negative", "positive")[number % 2]))
        found[name] = str(write_csv(root / f"{name}.csv", rows))
    return found


def run_of(tiny_recipe: Callable[..., Any], files: dict[str, str], folder: Path, way: str, **training: Any) -> Any:
    recipe = tiny_recipe("distilbert", "lora", learning_rate=2e-2, **{"num_train_epochs": 6, **training})
    data = {"source": files, "max_length": 10, "long_texts": way, "on_duplicate": "keep"}
    with reloading_here():
        return lightune.run({**recipe.model_dump(mode="json"), "data": data}, folder)


def test_windows_find_what_cutting_loses(tiny_recipe: Any, late: dict[str, str], tmp_path: Path, capsys: Any):
    cut = run_of(tiny_recipe, late, tmp_path / "cut", "cut")
    read = run_of(tiny_recipe, late, tmp_path / "windows", "windows")
    assert cut.after.accuracy < 0.8 < read.after.accuracy
    assert (read.reload_check.passed, read.data.truncated_examples) == (True, 0)
    # 20 words in windows of 8, which share 2: three windows for each of the 80 texts.
    assert (read.data.windowed_examples, read.data.windows) == (80, 240)
    assert (cut.data.truncated_examples, cut.data.windowed_examples) == (80, 0)
    assert [note for note in cut.notes if "truncated" in note] == [
        "80 of 80 texts were truncated to 10 tokens; the rest was not read: 55% of their tokens. "
        "--set data.long_texts=windows reads them whole, in about 3.0 windows each: 3.0 times the computation."
    ]
    assert any("80 of 80 texts are longer than 10 tokens: they were read in 3.0 windows" in note for note in read.notes)
    folder = tmp_path / "windows"
    assert json.loads((folder / "adapter" / "lightune.json").read_text())["long_texts"] == "windows"
    assert "A text of more than 10 tokens is cut here; lightune reads it whole" in render_card(read)
    assert "is cut here" not in render_card(cut)
    assert "80, in 240 windows" in (folder / "report.html").read_text()
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
