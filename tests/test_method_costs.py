"""What a method costs beside LoRA: how benchmarks/methods.py measures it, and where it is said."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from benchmarks import methods as benchmark
from benchmarks.methods import Asked, Measured, line, measured, opened, saved, table, times

from lightune.cli.main import main
from lightune.fitting import prepare, require_usable
from lightune.methods import METHODS
from lightune.methods.costs import Cost, cost_notes, measured_costs
from lightune.methods.costs import Measured as Costs
from lightune.methods.support import support
from tiny import sentences, write_csv

LORA = Measured(seconds=0.5, peak=1000.0, trained=10, steps=6, loss=0.6, parameters=7)


def pair(method, lora=LORA):
    return {"lora": asdict(lora), "method": asdict(method)}


def test_figures_are_multiples_of_loras_in_the_least_disturbed_round():
    quick, slow = Measured(2.0, 1800.0, 20, 6, 31.0), Measured(3.0, 1500.0, 20, 6, 31.0)
    found = [pair(quick), pair(slow, replace(LORA, peak=1200.0))]
    assert (times(found, "seconds"), times(found, "peak")) == (4.0, 1.5)
    assert line("x", found) == "| x | 20 | 2.00 | 4.0 | 1.5 | 1.5 | 31.00 |"
    assert table({"x": found}).splitlines()[2] == line("x", found)
    assert line("x", [pair(replace(quick, loss=None))]).endswith("| stopped after 6 steps |")


def test_figures_of_the_same_machine_are_added_and_others_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "COSTS", tmp_path / "costs.json")
    monkeypatch.setattr(benchmark, "machine", lambda: {"processor": "one", "bf16": False})
    twice = {"x": [pair(Measured(1.0, 1000.0, 20, 6, 0.5))]}
    first = saved("/somewhere/mpnet", twice)
    assert (first["model"], first["parameters"], first["methods"]["x"]) == ("mpnet", 7, {"time": 2.0, "memory": 1.0})
    benchmark.COSTS.write_text(json.dumps(first))
    assert list(saved("/elsewhere/mpnet", {"a": twice["x"]})["methods"]) == ["a", "lora", "x"]
    monkeypatch.setattr(benchmark, "machine", lambda: {"processor": "two", "bf16": False})
    assert list(saved("/elsewhere/mpnet", {"a": twice["x"]})["methods"]) == ["a", "lora"]


ASKED = Asked("/home/me/bases/mpnet", "lora", Path("/home/me/data/rt/train.csv"), 6, 120.0, "bf16")


def test_figures_are_kept_with_their_set_up_and_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "machine", lambda: {"processor": "one", "bf16": False})
    path = tmp_path / "figures.json"
    fresh = opened(path, ASKED)
    assert fresh == {
        "setup": {
            "model": "mpnet",
            "texts": "rt/train.csv",
            "steps": 6,
            "precision": "bf16",
            "processor": "one without bf16",
        },
        "methods": {},
    }
    assert opened(None, replace(ASKED, texts=None))["setup"]["texts"] == "embedded reviews"
    path.write_text(json.dumps(fresh | {"methods": {"x": [pair(LORA)]}}))
    elsewhere = replace(ASKED, model="/elsewhere/mpnet", method="x", limit=9.0)
    assert opened(path, elsewhere)["methods"] == {"x": [pair(LORA)]}


@pytest.mark.parametrize(
    "other",
    [{"model": "/home/me/bases/llama"}, {"texts": Path("/home/me/data/rt/test.csv")}, {"texts": None}, {"steps": 7},
     {"precision": "auto"}],
    ids=str,
)  # fmt: skip
def test_figures_of_another_set_up_are_refused(tmp_path, other):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(opened(path, ASKED)))
    with pytest.raises(SystemExit, match="another set-up"):
        opened(path, replace(ASKED, **other))


def test_figures_of_another_processor_or_of_no_set_up_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(opened(path, ASKED)))
    monkeypatch.setattr(benchmark, "machine", lambda: {"processor": "another", "bf16": False})
    with pytest.raises(SystemExit, match="another set-up"):
        opened(path, ASKED)
    path.write_text(json.dumps({"x": [pair(LORA)]}))  # as older versions kept them
    with pytest.raises(SystemExit, match="do not state"):
        opened(path, ASKED)


def test_the_command_measures_what_a_file_lacks_and_nothing_for_another_model(monkeypatch, tmp_path):
    path, asked = tmp_path / "figures.json", []
    monkeypatch.setattr(benchmark, "measured", lambda one: asked.append(one.method) or LORA)

    def run(model):
        words = ["methods", model, "--json", str(path), "--method", "vera", "ia3", "--rounds", "1"]
        monkeypatch.setattr("sys.argv", words)
        benchmark.main()

    run("/home/me/mpnet")
    assert asked == ["lora", "vera", "ia3"]
    run("/home/me/mpnet")
    assert asked == ["lora", "vera", "ia3"]
    with pytest.raises(SystemExit, match="another set-up"):
        run("/home/me/llama")
    assert set(json.loads(path.read_text())["methods"]) == {"vera", "ia3"}


@pytest.mark.long
def test_a_process_of_its_own_measures_steps_memory_and_loss(tiny_models, tmp_path):
    texts = write_csv(tmp_path / "t.csv", sentences(100, 1))
    found = measured(Asked(str(tiny_models["distilbert"]), "lora", texts, 3, 100))
    assert (found.steps, found.said) == (3, "")
    assert found.seconds > 0 < found.peak
    assert 0 < found.loss < 5
    stopped = measured(Asked(str(tiny_models["distilbert"]), "lora", texts, 10_000, 1))
    assert stopped.loss is None
    assert 0 < stopped.steps < 10_000
    assert stopped.peak > 0


@pytest.fixture
def costs(monkeypatch):
    """Costs in which one method is dear, in place of the measured ones."""
    known = {"lora": Cost(1.0, 1.0), "ia3": Cost(0.9, 3.2), "vera": Cost(1.9, 1.9)}
    made = Costs("big", 110_000_000, 16, "a processor", known)
    monkeypatch.setattr("lightune.methods.costs.measured_costs", lambda: made)


def test_only_a_dear_method_has_a_note(costs):
    assert [cost_notes(name) for name in ("lora", "vera", "hra")] == [[], [], []]
    (note,) = cost_notes("ia3")
    assert "0.9 times the time of a step and 3.2 times the memory" in note
    assert "big, 110 million parameters, on one core of a processor" in note
    assert "--method lora" in note


def test_it_is_said_before_training(costs, tiny_models, tmp_path):
    from lightune.data.dataset import load_splits
    from lightune.progress import Silent
    from lightune.recipe import parse_recipe

    class Said(Silent):
        notes: list[str] = []  # noqa: RUF012

        def note(self, text):
            self.notes.append(text)

    source = str(write_csv(tmp_path / "t.csv", sentences(40, 1)))
    recipe = parse_recipe(
        {"model": str(tiny_models["distilbert"]), "data": {"source": source}, "method": {"name": "ia3"}}
    )
    reporter, method = Said(), require_usable(recipe)
    run = prepare(recipe, method, load_splits(recipe.data, 1), tmp_path, reporter, ())
    (note,) = cost_notes("ia3")
    assert note in reporter.notes
    assert note in run.notes


def test_a_method_that_was_refused_has_no_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "COSTS", tmp_path / "costs.json")
    found = {"x": [pair(Measured(200.0, 0.0, 0, 0, None, said="RECIPE-039 it cannot."))]}
    assert line("x", found["x"]) == "| x | - | - | - | - | - | RECIPE-039 it cannot. |"
    assert list(saved("mpnet", found)["methods"]) == ["lora"]


def test_every_method_that_works_there_was_measured():
    known = measured_costs()
    assert set(known.methods) == {name for name in METHODS if support()[name]["mpnet"] == ""}
    assert known.methods["lora"] == Cost(1.0, 1.0)
    assert known.parameters > 100e6


def test_the_command_shows_the_figures(capsys):
    assert main(["methods", "--json"]) == 0
    rows = {row["name"]: row["cost"] for row in json.loads(capsys.readouterr().out)["methods"]}
    file = Path(benchmark.COSTS)
    assert {name: row for name, row in rows.items() if row} == json.loads(file.read_text("utf-8"))["methods"]
    assert main(["methods"]) == 0
    (shown,) = [row.split() for row in capsys.readouterr().out.splitlines() if row.startswith("boft ")][:1]
    assert shown[2:4] == [f"{rows['boft']['time']:.1f}", f"{rows['boft']['memory']:.1f}"]


def test_nothing_is_kept_where_lora_cannot_be_measured(tmp_path, monkeypatch):
    """Texts that are not there: the process says so, instead of figures of a training that never began."""
    target = tmp_path / "figures.json"
    options = ["--texts", str(tmp_path / "none.csv"), "--method", "head", "--json", str(target)]
    monkeypatch.setattr("sys.argv", ["methods", "minilm", *options])
    with pytest.raises(SystemExit, match="lora, beside which all are shown, cannot be measured: FileNotFoundError"):
        benchmark.main()
    assert not target.exists()
