"""`lightune methods` and `lightune recipes`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from case_table import case
from lightune.cli.main import main
from lightune.methods import METHODS, make_method
from lightune.methods.costs import cost_of, measured_costs
from lightune.methods.support import support
from lightune.models.architectures import ARCHITECTURES
from lightune.recipe import parse_recipe


def _json(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_method_says_what_the_contract_asks(capsys):
    rows = _json(capsys, "methods")["methods"]
    assert {"lora", "head", "full"} <= {row["name"] for row in rows} == set(METHODS)
    for row in rows:
        assert isinstance(row["mergeable"], bool)
        assert 0 < row["default_learning_rate"] < 1
        assert re.search(r"arXiv:\d{4}\.\d{5}", row["paper"])


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("arguments", [[], *([name] for name in METHODS)])
def test_no_line_is_longer_than_the_terminal(capsys, monkeypatch, columns, arguments):
    """But those of a table, which stay whole from 80 columns on."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["methods", *arguments]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= max(columns, 80)


def test_one_task_is_shown_alone(capsys):
    assert [row["name"] for row in _json(capsys, "tasks", "regression")["tasks"]] == ["regression"]
    assert main(["tasks", "regression"]) == 0
    shown = capsys.readouterr().out
    assert ("R2" in shown, "accuracy" in shown) == (True, False)
    assert main(["tasks", "regresion"]) == 2
    assert 'Did you mean "regression"?' in capsys.readouterr().err


def test_the_options_shown_are_those_the_method_takes(capsys):
    for row in _json(capsys, "methods")["methods"]:
        assert make_method(row["name"], row["options"]) == make_method(row["name"])
    (lora,) = (row for row in _json(capsys, "methods")["methods"] if row["name"] == "lora")
    assert (lora["options"]["rank"], lora["options"]["alpha"], lora["mergeable"]) == (8, 16, True)


def test_the_tables_have_a_row_for_each_method(capsys):
    assert main(["methods"]) == 0
    _, table, marks, named, hint = capsys.readouterr().out.split("\n\n")
    *lines, costs, where = table.splitlines()
    assert [line.split()[0] for line in lines] == ["method", *METHODS]
    assert max(map(len, lines)) <= 80
    assert "…" not in table
    assert (costs.split(":")[0], where) == ("step, memory", f"({measured_costs().where})")
    head, *rows = marks.splitlines()[1:]
    assert head.split() == ["method", *(str(number) for number in range(1, len(ARCHITECTURES) + 1))]
    shown = {row.split()[0]: row.split()[1:] for row in rows[: len(list(METHODS))]}
    assert list(shown) == list(METHODS)
    for name, signs in shown.items():
        assert signs == ["-" if reason else "+" for reason in support()[name].values()]
    legend = " ".join(" ".join(rows[len(list(METHODS)) :]).split())
    assert legend == ", ".join(f"{number} {kind}" for number, kind in enumerate(ARCHITECTURES, 1))
    assert "hra" in named
    assert "lightune methods NAME" in hint


DOCS = Path(__file__).resolve().parents[2] / "docs"


def _closing_rows() -> dict[str, list[str]]:
    """Return the cells of the table that compares every method with full fine-tuning, by method."""
    entry = (DOCS / "LOG.md").read_text(encoding="utf-8").split("in one table: without padding")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in entry.split("\n\n")[2].splitlines()]
    return {row[0]: row for row in rows[2:]}


def test_which_to_try_first_is_said_with_the_figures_of_the_log(capsys):
    """Every number that is printed is taken from the pages that hold the measurements."""
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert (len(lines), max(map(len, lines)) <= 80) == (6, True)
    said = {line[2:15].strip(): line[15:] for line in lines[1:]}
    rows = _closing_rows()
    gain = {name: row[-2] for name, row in rows.items()}
    seconds = {name: float(row[-1]) for name, row in rows.items()}
    trained = {name: float(row[3].rstrip("%")) for name, row in rows.items()}
    assert gain["lora"] == "-0.5 (-1.8 to +0.9)"
    assert said["lora"] == "first: -0.5 (95%: -1.8 to 0.9), in two thirds of full's time"
    assert seconds["lora"] / seconds["full"] == pytest.approx(2 / 3, abs=0.05)
    assert (gain["bottleneck"].split()[0], trained["bottleneck"] / trained["lora"]) == (
        "-0.5", pytest.approx(1 / 3, abs=0.02),
    )  # fmt: skip
    assert not METHODS["bottleneck"]().mergeable
    assert said["ia3, bitfit"].endswith(f"{gain['ia3'].split()[0]} and {gain['bitfit'].split()[0]}")
    assert {round(trained[name], 1) for name in ("ia3", "bitfit")} == {0.1}
    far = [float(gain[name].split()[0]) for name in ("head", "prompt_tuning", "p_tuning")]
    assert all(round(points) == -12 for points in far)


def test_what_is_said_of_full_fine_tuning_is_measured(capsys):
    assert main(["methods"]) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  full "))
    page = (DOCS / "limited_hardware.md").read_text(encoding="utf-8")
    peaks = re.findall(r"^\| full fine-tuning, batch 16 \| \d+ MB \| (\S+) ", page, re.MULTILINE)
    assert sorted(map(float, peaks)) == [1.3, 1.5]
    largest = cost_of("full")
    assert largest is not None
    assert f"1.3 to {largest.memory:.1f} times lora's" in said
    (closing,) = re.findall(r"^\| lightune \| (0\.\d+) \(.*\| (0\.\d+) \(", (DOCS / "LOG.md").read_text(), re.MULTILINE)
    assert float(closing[1]) > float(closing[0]), "full is ahead of lora with the 48 labels of NLU++"


def test_one_method_is_shown_with_its_options_and_where_it_does_not_work(capsys):
    assert main(["methods", "lora"]) == 0
    assert "  rank = 8\n" in capsys.readouterr().out
    assert main(["methods", "prefix"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "works on 17 of 17 architectures" in shown
    assert main(["methods", "bitfit"]) == 0
    assert "not on llama: " in " ".join(capsys.readouterr().out.split())
    (row,) = _json(capsys, "methods", "prefix")["methods"]
    assert row["name"] == "prefix"


def _options(capsys, name: str) -> dict[str, str]:
    """Return what the command prints of each option, which may be more than one line long."""
    assert main(["methods", name]) == 0
    printed = capsys.readouterr().out.split("options, with their defaults\n")[1].split("\n\n")[0]
    found = re.findall(r"^  (\w+) = (.*(?:\n(?!  \w+ = ).*)*)", printed, flags=re.MULTILINE)
    return {option: " ".join(said.split()) for option, said in found}


@pytest.fixture
def new_method(monkeypatch):
    """A method as docs/adding_a_method.md adds one: registered, its tests not written down."""

    @dataclass(frozen=True)
    class Brandnew(METHODS["lora"]):
        """A method of today."""

    monkeypatch.setitem(METHODS._objects, "brandnew", Brandnew)
    return "brandnew"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["methods"], marks=case(
            "lightune methods, with a method that support.json does not know", "BUG-001 KeyError: 'distilbert'",
            'its row, with "?" for each architecture', "docs/adding_a_method.md: a new method shows up at once")),
        pytest.param(["methods", "brandnew"], marks=case(
            "lightune methods NAME of such a method", "no word on where it works", "not tested yet on any architecture",
            "silence looks as if it worked everywhere")),
        pytest.param(["methods", "--json"], marks=case(
            "lightune methods --json with such a method", '"architectures": {}', "null for each architecture",
            'so that it cannot be taken for "", which says that it works')),
    ],
)  # fmt: skip
def test_a_method_that_was_not_tested_yet_shows_up_as_that(new_method, arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    if "--json" in arguments:
        (row,) = (row for row in json.loads(shown)["methods"] if row["name"] == new_method)
        assert row["architectures"] == dict.fromkeys(ARCHITECTURES)
    elif new_method in arguments:
        assert "not tested yet on any architecture" in shown
        assert "works on" not in shown
    else:
        marks = shown.split("\n\n")[2]
        assert re.search(rf"^{new_method}( +\?){{{len(ARCHITECTURES)}}} *$", marks, flags=re.MULTILINE)
        assert "? not tested yet" in marks


@case(
    "lightune methods, after the row of an architecture was added",
    "exit 0: the new column is missing without a word",
    '"?" in its column; NAME says on which it was not tested',
    "a table that leaves a column out says nothing of it",
)
def test_an_architecture_that_was_not_tested_yet_shows_up_as_that(monkeypatch, capsys):
    monkeypatch.setitem(ARCHITECTURES, "newbert", ARCHITECTURES["bert"])
    assert main(["methods", "lora"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"works on 17 of {len(ARCHITECTURES)} architectures" in shown
    assert "not tested yet on newbert" in shown
    assert main(["methods"]) == 0
    marks = capsys.readouterr().out.split("\n\n")[2]
    assert re.search(r"^lora( +\+){17} +\? *$", marks, flags=re.MULTILINE)


def test_where_all_was_tested_nothing_is_said_of_it(capsys):
    assert main(["methods"]) == 0
    assert main(["methods", "lora"]) == 0
    assert "not tested" not in capsys.readouterr().out


def test_options_that_take_few_values_are_shown_with_them(capsys):
    lora = _options(capsys, "lora")
    assert lora["init_lora_weights"] == "default (one of default, gaussian, orthogonal, pissa, olora, eva)"
    assert (lora["rank"], lora["use_dora"], lora["target_modules"]) == ("8", "False", "none")
    assert _options(capsys, "prefix")["attended"] == "apart (one of apart, gated, prepended)"
    assert _options(capsys, "hra")["r"] == "8"
    (row,) = _json(capsys, "methods", "prefix")["methods"]
    assert row["choices"] == {"attended": ["apart", "gated", "prepended"], "start": ["tokens", "random"]}


def test_what_a_preset_decides_is_shown_with_the_value_of_the_default_preset(capsys):
    """Pfeiffer et al. 2020: a sixteenth of the width, added as it is."""
    shown = _options(capsys, "bottleneck")
    assert shown["preset"] == "seq_bn (one of seq_bn, double_seq_bn, par_bn)"
    assert shown["reduction_factor"] == "the preset decides (16 with seq_bn)"
    assert shown["scaling"] == "the preset decides (1 with seq_bn)"


def test_every_value_shown_is_taken(capsys):
    for row in _json(capsys, "methods")["methods"]:
        for option, values in row["choices"].items():
            for value in values:
                assert make_method(row["name"], {option: value}).options()[option] == value


def test_a_method_of_peft_is_shown_with_peft_s_options(capsys):
    assert main(["methods", "hra"]) == 0
    shown = capsys.readouterr().out
    assert "  r = 8\n" in shown
    assert "modules_to_save" not in shown


def test_a_method_that_is_not_there_is_answered_with_those_that_are(capsys):
    assert main(["methods", "lroa"]) == 2
    assert 'Did you mean "lora"?' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LoRA", 'Did you mean "lora"?'),
        ("P-Tuning", 'Did you mean "p_tuning"?'),
        ("DeLoRA", 'Did you mean "delora"?'),
        ("prefix-tuning", "use prefix."),
        ("Prefix_Tuning", "use prefix."),
    ],
)
def test_case_and_dashes_do_not_hide_which_method_is_meant(name, said, capsys):
    assert main(["methods", name]) == 2
    assert said in capsys.readouterr().err


def test_the_shipped_recipes_are_listed_with_what_they_do(capsys):
    rows = {row["name"]: row["description"] for row in _json(capsys, "recipes")["recipes"]}
    assert set(rows) >= {"quickstart", "rotten-tomatoes"}
    assert "needs no network" in rows["quickstart"]
    assert main(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^{name} ", printed, flags=re.MULTILINE) for name in rows)


@pytest.mark.parametrize("name", ["quickstart", "rotten-tomatoes"])
def test_a_printed_recipe_is_complete_and_reads_back_as_itself(name, capsys):
    assert main(["recipes", name]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert parse_recipe(printed).model_dump(mode="json") == printed == _json(capsys, "recipes", name)
    assert printed["training"]["weight_decay"] == 0.01, "a default that the recipe need not name"


def test_the_tutorials_settings_are_what_the_recipe_says(capsys):
    found = _json(capsys, "recipes", "rotten-tomatoes")
    assert found["model"] == "distilbert-base-uncased"
    assert found["data"]["source"] == "cornell-movie-review-data/rotten_tomatoes"
    assert (found["data"]["train_examples"], found["data"]["test_examples"]) == (500, 500)
    training = found["training"]
    assert (training["num_train_epochs"], training["per_device_train_batch_size"]) == (5, 16)
    assert (training["learning_rate"], training["lr_scheduler_type"]) == (5e-5, "linear")


def test_an_unknown_recipe_is_answered_with_the_closest(capsys):
    assert main(["recipes", "roten-tomatoes"]) == 2
    assert 'Did you mean "rotten-tomatoes"?' in capsys.readouterr().err
