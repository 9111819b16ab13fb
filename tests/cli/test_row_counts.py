"""Every row of a file is accounted for: rows in = rows used + rows dropped, in `check`, `run` and `predict`.

The files are written by the standard library and pyarrow, and counted while they are written.
"""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lightune
from case_table import case
from lightune.cli.main import main
from lightune.data.dataset import load_splits
from lightune.data.describe import check_and_describe
from lightune.errors import DataError
from lightune.inference.bulk import Tally, answered_rows
from lightune.recipe import DataBlock, Files, Recipe
from reloading_here import reloading_here
from tiny import sentences

KINDS = ("csv", "tsv", "jsonl", "parquet")
LABELS = ("negative", "positive")
Row = tuple[str, str]


@dataclass(frozen=True)
class Written:
    """A file, how many rows were written into it, and how many lines between them hold nothing."""

    path: Path
    rows: int
    blank: int


def write(path: Path, rows: list[Row], blanks: list[int]) -> Written:
    """Write rows; before row n of `blanks` stands a blank line, in formats of lines."""
    kind = path.suffix[1:]
    before = sorted({place for place in blanks if place < len(rows)}) if kind != "parquet" else []
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet

        pa.parquet.write_table(pa.table({"text": [a for a, _ in rows], "label": [b for _, b in rows]}), path)
    elif kind == "jsonl":
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        path.write_text("".join("\n" * (n in before) + line + "\n" for n, line in enumerate(lines)), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as sink:
            quoting = csv.QUOTE_NONE if kind == "tsv" else csv.QUOTE_MINIMAL
            writer = csv.writer(
                sink,
                delimiter="\t" if kind == "tsv" else ",",
                quoting=quoting,
                quotechar=None if kind == "tsv" else '"',
            )
            writer.writerow(("text", "label"))
            for number, row in enumerate(rows):
                if number in before:
                    sink.write("\r\n")
                writer.writerow(row)
    return Written(path, len(rows), len(before))


# Texts that differ, repeat, contradict each other, are empty, quoted or of several words; labels that training lacks.
POOL = [text for text, _ in sentences(60, seed=9)]
SOME_TEXT = st.one_of(
    st.sampled_from(POOL),
    st.sampled_from([f"number {n} of these texts" for n in range(200)]),
    st.sampled_from(['"Oh," she said', "a, b, c", "caf\u00e9 noir", "it's", "#1", "  spaced  out  "]),
)
SOME_LABEL = st.sampled_from(LABELS)
TRAIN_ROWS = st.lists(st.tuples(SOME_TEXT, SOME_LABEL), min_size=4, max_size=60)
TEST_ROWS = st.lists(
    st.tuples(SOME_TEXT, st.one_of(SOME_LABEL, st.sampled_from(["neutral", "positve"]))), min_size=1, max_size=30
)
BLANKS = st.lists(st.integers(0, 60), max_size=4)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "train_examples": st.integers(4, 40),
        "validation_examples": st.integers(1, 10),
        "test_examples": st.integers(1, 20),
        "on_duplicate": st.sampled_from(["drop", "keep"]),
    },
)


def adds_up(counts: dict[str, Any], written: Written) -> None:
    assert counts["rows_in"] == written.rows + written.blank
    assert counts["rows_in"] == sum(counts["used"].values()) + sum(counts["dropped"].values())
    assert all(count >= 0 for count in [*counts["used"].values(), *counts["dropped"].values()])
    assert counts["dropped"].get("blank line", 0) == written.blank


def check_one(
    train: list[Row], test: list[Row] | None, kinds: tuple[str, str], blanks: list[int], options: Any
) -> None:
    """Write the files, check them as `check` does and draw the splits as `run` does, and add everything up."""
    with tempfile.TemporaryDirectory() as place:
        files = {"train": write(Path(place) / f"train.{kinds[0]}", train, blanks)}
        if test is not None:
            files["test"] = write(Path(place) / f"test.{kinds[1]}", test, blanks)
        named = Files(train=str(files["train"].path), test=str(files["test"].path) if test is not None else None)
        block = DataBlock(source=named, on_unseen_label="drop", **options)
        found = check_and_describe(Recipe(data=block), None).as_json()
        for name, written in files.items():
            adds_up(found["rows"][name], written)
        if not found["usable"]:
            with pytest.raises(DataError):
                load_splits(block, 1)
            return
        task = load_splits(block, 1)
        drawn = {name: counts.as_json() for name, counts in task.rows.items()}
        assert drawn == found["rows"]
        used = [counts["used"] for counts in drawn.values()]
        for split in ("train", "validation", "test"):
            assert sum(counts.get(split, 0) for counts in used) == len(getattr(task, split))


ANY = {
    "train": TRAIN_ROWS,
    "test": st.one_of(st.none(), TEST_ROWS),
    "kinds": st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    "blanks": BLANKS,
    "options": OPTIONS,
}


@case(
    "files with twins, contradictions, blank lines, unseen labels (generated)",
    "rows left without a count",
    "rows in = used + dropped, by reason, in check and run",
    "a row may leave only when it is said",
)
@settings(max_examples=60)
@given(**ANY)
def test_the_rows_of_generated_files_add_up(train, test, kinds, blanks, options):
    check_one(train, test, kinds, blanks, options)


@pytest.mark.long
@settings(max_examples=2000)
@given(**ANY)
def test_the_rows_of_many_generated_files_add_up(train, test, kinds, blanks, options):
    check_one(train, test, kinds, blanks, options)


def answer_one(classifier: Any, rows: list[Row], kind: str, blanks: list[int]) -> None:
    """Write the file, answer it as `predict --file` does, and add everything up."""
    with tempfile.TemporaryDirectory() as place:
        written, tally = write(Path(place) / f"some.{kind}", rows, blanks), Tally()
        answered = list(answered_rows(classifier, written.path, tally=tally))
        assert len(answered) - 1 == tally.rows_answered == written.rows
        assert [tuple(row[:2]) for row in answered[1:]] == rows
        assert tally.rows_in == written.rows + written.blank
        assert tally.rows_in == tally.rows_answered + sum(tally.rows_dropped.values())


@pytest.fixture(scope="module")
def classifier(tiny_run: Any) -> Any:
    return lightune.load(tiny_run.folder)


@case(
    "predict --file on files with blank lines (generated)",
    "blank lines left without a count",
    "rows in = answered + dropped, by reason",
    "an answer may lack only when it is said",
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TRAIN_ROWS, kind=st.sampled_from(KINDS[:2]), blanks=BLANKS)
def test_the_answers_of_generated_files_add_up(classifier, rows, kind, blanks):
    answer_one(classifier, rows, kind, blanks)


@pytest.mark.long
@settings(max_examples=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TRAIN_ROWS, kind=st.sampled_from(KINDS[:2]), blanks=BLANKS)
def test_the_answers_of_many_generated_files_add_up(classifier, rows, kind, blanks):
    answer_one(classifier, rows, kind, blanks)


@case(
    "predict, run and check with --json on a file with blank lines",
    "no counts",
    "rows_in, what became of them, and why",
    "a program can add it up",
)
def test_the_counts_stand_in_the_json_of_each_command(tmp_path: Path, tiny_run: Any, tiny_models: Any, capsys: Any):
    rows = sentences(40, seed=5)
    train = write(tmp_path / "train.csv", [*rows, rows[0]], [3, 9])
    arguments = ["--train", str(train.path)]
    assert main(["check", *arguments, "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)["rows"]
    further = ["--model", str(tiny_models["distilbert"]), "--method", "head", "--epochs", "1", "--device", "cpu"]
    with reloading_here():
        assert main(["run", *arguments, *further, "--output", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["rows"] == checked
    assert checked["train"]["rows_in"] == 43
    assert checked["train"]["dropped"] == {"blank line": 2, "repeated": 1}
    assert sum(checked["train"]["used"].values()) == 40
    assert main(["predict", str(tiny_run.folder), "--file", str(train.path), "--json"]) == 0
    answered = json.loads(capsys.readouterr().out)
    assert (answered["rows_in"], answered["rows_answered"], answered["rows_dropped"]) == (43, 41, {"blank line": 2})
    assert len(answered["predictions"]) == 41


@case(
    "a validation split beside data.train_examples",
    "left out without a word",
    "counted as not drawn, and a note says so",
    "train_examples is the whole budget of labels",
)
def test_a_validation_split_that_is_not_used_is_said(tmp_path: Path):
    rows = sentences(60, seed=4)
    for name, part in (("train", rows[:30]), ("validation", rows[30:40]), ("test", rows[40:])):
        write(tmp_path / f"{name}.csv", part, [])
    task = load_splits(DataBlock(source=str(tmp_path), train_examples=20), 1)
    assert task.rows["validation"].as_json() == {"rows_in": 10, "used": {}, "dropped": {"not drawn": 10}}
    assert task.rows["train"].as_json() == {
        "rows_in": 30,
        "used": {"train": 16, "validation": 4},
        "dropped": {"not drawn": 10},
    }
    assert any("The validation split (10 rows) is not used" in note for note in task.notes)
