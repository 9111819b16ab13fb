"""`lightune check`: clean sets raise no alarm, each warning says where, and the JSON holds what is shown."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from case_table import case
from lightune.cli.main import main
from lightune.cli.run import command as run_command
from lightune.data import scan
from tiny import write_csv

pytestmark = pytest.mark.usefixtures("hashed_once")

Check = Callable[..., dict[str, Any]]
Rows = list[tuple[str, ...]]
WORDS = ("quiet", "loud", "tender", "bitter", "early", "late", "simple", "strange", "narrow", "famous", "distant")
THINGS = ("film", "book", "soup", "lamp", "waiter", "song", "chair", "story", "bread", "garden", "letter", "river")


def texts(count: int) -> list[str]:
    """Return different English sentences."""
    return [
        f"It was the {WORDS[number % 11]} {THINGS[number // 11 % 12]} that they have with them, number {number}"
        for number in range(count)
    ]


def labelled(count: int, *labels: str) -> Rows:
    return [(text, labels[number % len(labels)]) for number, text in enumerate(texts(count))]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Check:
    """Return a function that writes csv files, checks them, expects a status and returns the JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*further: str, status: int = 0, header: tuple[str, ...] = ("text", "label"), **files: Rows) -> Any:
        arguments = []
        for name, rows in files.items():
            with open(f"{name}.csv", "w", encoding="utf-8", newline="") as sink:
                csv.writer(sink).writerows([header, *rows])
            arguments += [f"--{name}", f"{name}.csv"]
        assert main(["check", *arguments, *further, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return run


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


# Clean sets


def clean(found: dict[str, Any]) -> bool:
    return (found["usable"], found["faults"], found["warnings"]) == (True, [], [])


def test_the_embedded_reviews_are_clean(check: Check):
    found = check("reviews")
    assert clean(found)
    assert found["labels"]["test"]["negative"] == {"count": 750, "share": 0.5}
    assert found["language"]["said"] == "probably English"
    assert found["columns"]["groups"] == ["kind"]


def test_two_classes_are_clean(check: Check):
    assert clean(check(train=labelled(60, "bad", "good"), test=[(f"{text}?", label) for text, label in TEST]))


TEST = [(f"In the end {text}", label) for text, label in labelled(20, "bad", "good")]


def test_twenty_classes_with_integer_labels_are_clean(check: Check):
    found = check(train=labelled(400, *map(str, range(20))))
    assert clean(found)
    assert list(found["labels"]["train"]) == [str(number) for number in range(20)]


def test_pairs_are_clean(check: Check):
    """The same premise stands with each of three hypotheses, as such sets have it."""
    ends = ("they left", "they stayed", "it rained")
    rows = [(texts(30)[number // 3], ends[number % 3], ends[number % 3][-1]) for number in range(90)]
    setting = ("--set", "data.text_column=[premise,hypothesis]")
    found = check(*setting, train=rows, header=("premise", "hypothesis", "label"))
    assert clean(found)
    assert found["columns"]["text"] == ["premise", "hypothesis"]
    assert found["columns"]["text_guessed"] is False


def test_boolean_labels_are_clean(check: Check, tmp_path: Path):
    name = jsonl(tmp_path / "a.jsonl", [{"text": text, "label": i % 2 == 0} for i, text in enumerate(texts(40))])
    found = check(name)
    assert clean(found)
    assert found["labels"] == {"train": {"false": {"count": 20, "share": 0.5}, "true": {"count": 20, "share": 0.5}}}


def test_long_texts_in_many_scripts_are_clean(check: Check):
    many = [
        "Это очень длинный отзыв",
        "とても長いレビューです",
        "😀 smile, and 3 < 4 > 2",
        "ein sehr langer Text",
        "مراجعة طويلة",
    ]
    rows = [(f"{many[number % 5]} " * 60 + str(number), "ab"[number % 2]) for number in range(40)]
    assert clean(check(train=rows))


# Warnings


def the(found: dict[str, Any], code: str) -> dict[str, Any]:
    [warning] = [warning for warning in found["warnings"] if warning["code"] == code]
    return warning


GOOD = labelled(40, "bad", "good")


def test_twins_are_counted_exactly_and_as_they_are_normalised(check: Check):
    """Rows 2 and 4 come again on lines 42 and 43: one letter for letter, one by case, spaces and a full stop."""
    twins = [GOOD[0], (f"  {GOOD[2][0].upper()} .", GOOD[2][1])]
    found = check(train=[*GOOD, *twins])
    warning = the(found, "DATA-101")
    assert warning["place"] == "train.csv:42"
    assert warning["text"] == (
        "2 train texts repeat an earlier one (1 exactly): line 42 repeats line 2; line 43 repeats line 4."
    )
    assert "data.on_duplicate=keep" in warning["hint"]
    assert "Texts dropped from training and validation: 2 repeated." in found["notes"]


def test_contradictions_name_both_labels(check: Check):
    warning = the(check(train=[*GOOD, (GOOD[0][0] + "!", "good")]), "DATA-102")
    assert warning["text"] == ('2 train texts occur with another label too: line 42 "good", line 2 "bad".')


def test_smileys_are_no_punctuation(check: Check):
    assert clean(check(train=[*GOOD, ("so it was :)", "good"), ("so it was :(", "bad")]))


def test_texts_in_two_splits_name_both_places(check: Check):
    found = check(train=GOOD, validation=[*TEST, GOOD[3]], test=[*labelled(4, "x")[:0], (GOOD[5][0].upper(), "good"),
                  ("an end", "bad"), ("another end", "good")])  # fmt: skip
    leaks = [warning["text"] for warning in found["warnings"] if warning["code"] == "DATA-103"]
    assert leaks == [
        "1 train text occurs in validation too (exactly): line 5 and validation.csv:22.",
        "1 train text occurs in test too (none exactly): line 7 and test.csv:2.",
    ]
    assert "Texts dropped from training and validation: 2 found in a later split too." in found["notes"]


def test_twins_and_contradictions_in_test_are_shown_and_stay(check: Check):
    twins = [TEST[0], (TEST[1][0], "bad")]
    found = check(train=GOOD, test=[*TEST, *twins])
    assert the(found, "DATA-112")["place"] == "test.csv:22"
    assert the(found, "DATA-113")["text"].endswith('line 23 "bad", line 3 "good".')
    assert "no test row is ever dropped" in the(found, "DATA-112")["hint"]
    assert not any("Dropped" in note for note in found["notes"])
    from lightune.data.dataset import load_splits
    from lightune.recipe import DataBlock

    task = load_splits(DataBlock.model_validate({"source": {"train": "train.csv", "test": "test.csv"}}), 1)
    assert len(task.test) == 22
    assert any("test texts" in note or "test text repeats" in note for note in task.notes)


def test_few_examples_of_a_label_are_named(check: Check):
    warning = the(check(train=[*GOOD, ("so so", "meh"), ("la la", "meh")]), "DATA-104")
    assert warning["place"] == "train.csv:42"
    assert warning["text"] == "1 of 3 labels have fewer than 8 training examples: meh (2)."


def test_imbalance_is_named_with_its_remedy(check: Check):
    rows = [(text, "good" if number % 5 else "bad") for number, text in enumerate(texts(100))]
    warning = the(check(train=rows), "DATA-105")
    assert "good (80) is 4.0 times as frequent in training as bad (20)" in warning["text"]
    assert "training.class_weights=auto" in warning["hint"]
    assert "class_weights" not in the(check("--set", "training.class_weights=auto", train=rows), "DATA-105")["hint"]


def test_three_to_one_is_no_imbalance_yet(check: Check):
    assert clean(check(train=[(text, "good" if number % 4 else "bad") for number, text in enumerate(texts(100))]))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_a_split_lacks_is_named(check: Check, split: str):
    warning = the(check(train=GOOD, **{split: [row for row in TEST if row[1] == "bad"]}), "DATA-106")
    assert (warning["place"], warning["text"][: len(split)]) == (f"{split}.csv", split)
    assert "good" in warning["text"]


def test_labels_joined_in_one_cell_look_like_several(check: Check):
    rows = labelled(100, "action", "comedy", "drama")
    rows[2:6] = [(text, "action|comedy" if n % 2 else "comedy|drama") for n, (text, _) in enumerate(rows[2:6])]
    warning = the(check(train=rows), "DATA-107")
    assert warning["place"] == "train.csv:5"
    assert "--task multi_label reads them as several labels" in warning["hint"]


def test_texts_that_are_html_or_a_character_or_endless_are_named(check: Check, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scan, "LONG_TEXT", 1000)
    found = check(train=[*GOOD, ("<p>A film,<br/> so", "bad"), ("x", "good"), ("so " * 400, "bad")])
    places = {warning["code"]: warning["place"] for warning in found["warnings"]}
    assert places == {"DATA-108": "train.csv:42", "DATA-109": "train.csv:43", "DATA-110": "train.csv:44"}


def test_texts_that_are_all_the_same_are_named(check: Check):
    found = check(train=[("same", "ab"[number % 2]) for number in range(20)], status=3)
    assert "all 20 texts of train are the same" in the(found, "DATA-111")["text"]


# What is shown


def test_lengths_are_percentiles_in_words_and_tokens(check: Check, tiny_models: dict[str, Path]):
    """Texts of 1 to 100 words that the tiny tokenizer knows none of; two special tokens; at most 64 tokens."""
    rows = [(" ".join([f"w{number}"] * number), "ab"[number % 2]) for number in range(1, 101)]
    found = check("--model", str(tiny_models["distilbert"]), train=rows)["lengths"]
    assert found["words"]["train"] == {
        "counted": 100, "p50": 50.5, "p90": pytest.approx(90.1), "p99": pytest.approx(99.01), "longest": 100,
        "cut": None, "unread": None, "windows": None,
    }  # fmt: skip
    assert (found["tokens"]["train"]["longest"], found["limit"], found["long_texts"]) == (102, 64, "cut")
    assert found["tokens"]["train"]["cut"] == 38  # 63 to 100 words
    # Of 65 to 102 tokens 64 are read; 62 words are a window, two reach 109 words with an overlap of 15.
    assert found["tokens"]["train"]["unread"] == pytest.approx(1 - 38 * 64 / sum(range(65, 103)))
    assert found["tokens"]["train"]["windows"] == 2


def test_a_model_without_a_tokenizer_is_a_fault_of_the_arguments(tmp_path: Path, capsys: Any):
    assert main(["check", "reviews", "--model", str(tmp_path)]) == 2
    assert "tokenizer.json" in capsys.readouterr().err


def test_the_tables_say_the_same(check: Check, capsys: Any):
    check(train=GOOD, test=TEST)
    assert main(["check", "train.csv", "--test", "test.csv"]) == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert printed.startswith("train.csv: no faults, no warnings. The data can be used.")
    assert ["bad", "20", "50.0%", "10", "50.0%"] in lines
    assert ["all", "40", "20"] in lines
    assert any(line[:3] == ["text", "column", "text"] and "(guessed;" in line for line in lines)
    assert "probably English" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("arguments", [[], ["a.csv", "--train", "b.csv"], ["--test", "b.csv"]])
def test_the_data_is_given_once(arguments: list[str], capsys: Any):
    assert main(["check", *arguments]) == 2
    assert "RECIPE-008" in capsys.readouterr().err


def test_a_run_notes_the_warnings(tmp_path: Path):
    from lightune.data.dataset import load_splits
    from lightune.recipe import DataBlock

    path = tmp_path / "a.csv"
    with path.open("w", newline="") as sink:
        csv.writer(sink).writerows([("text", "label"), *GOOD, ("<b>so</b>", "meh"), ("la la", "meh")])
    notes = load_splits(DataBlock(source=str(path)), 1).notes
    assert any("fewer than 8 training examples: meh (2)" in note for note in notes)
    assert any("hold HTML tags" in note for note in notes)


@case("data with a warning, given to `run` without `check`", "what is wrong, without what to do",
      "the remedy that `check` gives, too", "most people run without checking first")  # fmt: skip
def test_the_notes_of_a_run_hold_the_remedy_that_check_gives(tmp_path: Path, capsys: Any):
    from lightune.data.dataset import load_splits
    from lightune.recipe import DataBlock

    path = tmp_path / "a.csv"
    with path.open("w", newline="") as sink:
        csv.writer(sink).writerows([("text", "label"), *GOOD, ("<b>so</b>", "meh"), ("la la", "meh"), ("x", "bad")])
    assert main(["check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = [warning for warning in found["warnings"] if warning["code"] not in ("DATA-101", "DATA-102", "DATA-103")]
    notes = load_splits(DataBlock(source=str(path)), 1).notes
    assert len(told) >= 4
    for warning in told:
        assert f"{warning['code']} {warning['place']}: {warning['text'].removesuffix('.')}. {warning['hint']}" in notes
        assert warning["hint"]
        # `check` itself has told of it as a warning: not a second time as a note.
        assert not any(warning["text"] in note for note in found["notes"])


def test_a_check_without_faults_ends_with_the_command_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    """What it prints is split as a shell would, and understood by `run`."""
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "my data.csv", labelled(40, "a", "b"), ("comment", "mood"))
    flags = ["--text-column", "comment", "--label-column", "mood", "--separator", ",", "--set", "data.max_length=8"]
    assert main(["check", "my data.csv", *flags]) == 0
    said = " ".join(capsys.readouterr().out.split())
    command = shlex.split(said[said.index("next lightune run") :])[3:]
    assert command == ["--train", "my data.csv", *flags]
    assert run_command.make_context("run", command).params["train"] == "my data.csv"
    assert main(["check", "my data.csv", "--label-column", "c"]) == 3
    assert "next lightune run" not in " ".join(capsys.readouterr().out.split())
