"""A name that was misspelt is answered with the one that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightune.data.dataset import load_splits
from lightune.errors import DataError, HubError, LightuneError, RecipeError, similar_path
from lightune.inference.classifier import load
from lightune.models.hub import _unreachable
from lightune.recipe import DataBlock, parse_recipe
from lightune.recipes.compose import read_recipe
from lightune.report.files import read_run


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("reviews.csv", "reviews.tsv", "own.yaml", ".hidden.csv"):
        (tmp_path / name).touch()
    (tmp_path / "runs" / "quickstart-1").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("reviws.csv", "reviews.csv"),
        ("reviews.tvs", "reviews.tsv"),  # no file ends so
        ("runs/quickstrat-1", "runs/quickstart-1"),
        ("quickstart-1", "runs/quickstart-1"),
        (".hiden.csv", ""),
        ("something else.csv", ""),
        ("nowhere/at/all.csv", ""),
    ],
)
def test_a_path_is_answered_with_one_that_exists(place, given, meant):
    assert similar_path(Path(given), Path("runs")) == (f'Did you mean "{meant}"?' if meant else "")


def _error(ask) -> LightuneError:
    with pytest.raises(LightuneError) as caught:
        ask()
    return caught.value


@pytest.mark.parametrize(
    ("ask", "kind", "meant"),
    [
        (lambda: load_splits(DataBlock(source="reviws.csv"), 0), DataError, "reviews.csv"),
        (lambda: read_recipe("ownn.yaml"), RecipeError, "own.yaml"),
        (lambda: read_run(Path("runs/quickstrat-1")), LightuneError, "runs/quickstart-1"),
        (lambda: load("runs/quickstrat-1"), LightuneError, "runs/quickstart-1"),
        (lambda: load("quickstart1"), LightuneError, "runs/quickstart-1"),
        (lambda: parse_recipe({"data": {"source": "reviews", "long_texts": "window"}}), RecipeError, "windows"),
        (lambda: parse_recipe({"training": {"lr_scheduler_type": "linaer"}}), RecipeError, "linear"),
    ],
)
def test_every_command_says_what_was_meant(place, monkeypatch, ask, kind, meant):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = _error(ask)
    assert isinstance(found, kind)
    assert f'Did you mean "{meant}"?' in f"{found.message}\n{found.hint}"


@pytest.mark.parametrize(("kind", "given", "meant"), [("model", "minilmm", "minilm"), ("dataset", "review", "reviews")])
def test_the_embedded_model_and_data_are_proposed(place, kind, given, meant):
    found = _unreachable(given, kind)
    assert isinstance(found, HubError)
    assert found.hint.startswith(f'Did you mean "{meant}"?')
