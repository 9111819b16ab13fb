"""Several label columns: found by their shape or named, and files that hold the same labels in another shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightune.data.check import check_data
from lightune.data.dataset import labelled_split, load_splits
from lightune.data.label_columns import columns_of_target, label_columns
from lightune.data.python_data import python_tables
from lightune.data.sources import read_source
from lightune.data.tables import Table, read_table
from lightune.errors import DataError
from lightune.recipe import DataBlock
from lightune.tasks.columns import Wishes
from lightune.tasks.multi_label import MultiLabel
from lightune.tasks.regression import Regression
from tiny import write_csv

LABELS = ("anger", "joy")
FLAGS = [(1, 0), (0, 1), (1, 1), (0, 0)]
SETS = [["anger"], ["joy"], ["anger", "joy"], []]
USUAL = ("label", "labels", "score")


def rows(count: int = 40, kind: str = "training") -> list[tuple[Any, ...]]:
    """Return texts with their 0 or 1 for each label, in turn."""
    return [(f"a {kind} text, the {row}th", *FLAGS[row % 4]) for row in range(count)]


def table(**columns: list[Any]) -> Table:
    count = len(next(iter(columns.values())))
    return Table("a.csv", columns, list(range(2, count + 2)))


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., DataBlock]:
    """Return a function that writes splits, each (header, rows) for a csv or a list of objects, and names them."""

    def write(labels: Any = None, **splits: Any) -> DataBlock:
        named = {}
        for name, given in splits.items():
            if isinstance(given, tuple):
                named[name] = str(write_csv(tmp_path / f"{name}.csv", given[1], given[0]))
            else:
                path = tmp_path / f"{name}.jsonl"
                path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
                named[name] = str(path)
        return DataBlock.model_validate({"source": named, "label_columns": labels})

    return write


COLUMNS = (("text", *LABELS), rows())
AS_LISTS = [{"text": text, "labels": SETS[row % 4]} for row, (text, *_) in enumerate(rows(24, "closing"))]
AS_COLUMNS = (("text", *LABELS), rows(24, "closing"))


def test_columns_of_0_and_1_are_found_by_their_shape_and_said(files: Callable[..., DataBlock]):
    given = (("id", "text", *LABELS, "votes"), [(f"x{row}", *cells, f"v{row}") for row, cells in enumerate(rows())])
    found = check_data(files(train=given))
    assert (found.faults, found.labels, found.guessed) == ([], list(LABELS), (True, True))
    assert found.guess == "Columns guessed: text = text, label = anger, joy (2 columns of 0 and 1)."
    told = "Task: multi_label; columns anger, joy hold 0 or 1, one column for each of 2 labels."
    assert told in found.notes
    assert found.scans["train"].targets.tolist() == [list(flags) for flags in FLAGS] * 10


def test_columns_of_0_and_1_beside_what_may_be_the_label_have_to_be_named(files: Callable[..., DataBlock]):
    """verified and helpful beside a mood: which of them is to be learnt is not for us to say."""
    moods = ("glad", "sad", "calm")
    given = (("text", *LABELS, "mood"), [(*cells, moods[row % 3]) for row, cells in enumerate(rows())])
    (fault,) = check_data(files(train=given)).faults
    assert fault.code == "DATA-025"
    assert fault.hint.endswith("If each of these is a label: --label-columns anger,joy")
    named = files(train=given).model_copy(update={"label_columns": LABELS})
    assert check_data(named).labels == list(LABELS)


@pytest.mark.parametrize(
    ("columns", "wanted", "found"),
    [
        ({"text": ["a"], "anger": [1], "joy": [0]}, None, (["anger", "joy"], True)),
        ({"text": ["a"], "anger": ["1"], "joy": ["0"], "id": [7]}, None, (["anger", "joy"], True)),
        ({"text": ["a"], "anger": [True], "joy": ["false"]}, None, (["anger", "joy"], True)),
        ({"text": ["a"], "anger": [1], "joy": [0], "label": ["x"]}, None, (["label"], True)),
        ({"text": ["a"], "anger": [1]}, None, (["anger"], True)),
        ({"text": ["a"], "anger": [1], "joy": [0]}, ["joy"], (["joy"], False)),
        ({"text": ["a"], "anger": [1], "joy": [0]}, ["joy", "anger"], (["joy", "anger"], False)),
        ({"text": ["a"], "Anger ": [1], "joy": [0]}, ["joy", " joy2"], None),
        ({"text": ["a"], "anger": [1], "joy": [2]}, None, None),
        ({"text": ["a"], "anger": [1], "joy": [""]}, None, None),
        ({"text": ["a"], "anger": [1], "joy": [[1]]}, None, None),
        ({"text": ["a"], "anger": [1], "joy": [0]}, ["joy", "text"], None),
        ({"text": ["a"], "anger": [1], "joy": [0]}, ["joy", "joy"], None),
    ],
)
def test_which_columns_are_the_labels(columns: dict[str, Any], wanted: Any, found: Any):
    if found is not None:
        assert label_columns(table(**columns), wanted, ["text"], USUAL) == found
        return
    with pytest.raises(DataError) as caught:
        label_columns(table(**columns), wanted, ["text"], USUAL)
    assert caught.value.code in {"DATA-024", "DATA-025", "DATA-026"}


def test_a_flag_far_down_that_is_none_leaves_the_column_out():
    given = table(text=["a"] * 3000, anger=[0, 1] * 1500, joy=[0] * 2999 + [2], fear=[1] * 3000)
    assert label_columns(given, None, ["text"], USUAL) == (["anger", "fear"], True)


def test_how_columns_of_numbers_are_named_together_is_said():
    with pytest.raises(DataError, match="which column is the label") as caught:
        label_columns(table(text=["a", "b"], valence=[1.5, 2], arousal=["3", ""]), None, ["text"], USUAL)
    assert "--label-columns valence,arousal" in caught.value.hint


@pytest.mark.parametrize(
    ("wanted", "code", "text", "remedy"),
    [
        (["joy", "joy"], "DATA-026", "joy is named twice", "Columns: text, anger, joy."),
        (["text", "joy"], "DATA-026", "text cannot be both the text and the label", "Columns: text, anger, joy."),
        (["anger", "jjoy"], "DATA-024", 'no label column "jjoy"', 'Did you mean "joy"?'),
    ],
)
def test_columns_that_cannot_be_meant(wanted: list[str], code: str, text: str, remedy: str):
    with pytest.raises(DataError) as caught:
        label_columns(table(text=["a"], anger=[1], joy=[0]), wanted, ["text"], USUAL)
    assert caught.value.code == code
    assert text in caught.value.message
    assert remedy in caught.value.hint


@pytest.mark.parametrize("named", ["anger,joy", ["anger", "joy"]])
def test_named_columns_are_taken_in_their_order(files: Callable[..., DataBlock], named: Any):
    given = (("text", "joy", "anger", "label"), [(text, joy, anger, "x") for text, anger, joy in rows()])
    splits = load_splits(files(named, train=given), 1)
    assert (splits.label_columns, splits.task.labels) == (["anger", "joy"], LABELS)
    places = {text: FLAGS[row % 4] for row, (text, *_) in enumerate(rows())}
    assert all(
        places[text] == tuple(target) for (text,), target in zip(splits.train.texts, splits.train.targets, strict=True)
    )


def test_numbers_in_several_columns(files: Callable[..., DataBlock]):
    given = (("text", "valence", "arousal"), [(text, row / 4, 5 - row % 5) for row, (text, *_) in enumerate(rows())])
    splits = load_splits(files("valence,arousal", train=given), 1)
    assert (splits.task.name, splits.label_columns) == ("regression", ["valence", "arousal"])
    assert splits.train.targets.shape == (len(splits.train), 2)
    means = [sum(target[place] for target in splits.train.targets) / len(splits.train) for place in (0, 1)]
    assert splits.task.means == pytest.approx(means)


@pytest.mark.parametrize(
    ("train", "test"),
    [(COLUMNS, AS_COLUMNS), (COLUMNS, AS_LISTS), ("lists", AS_COLUMNS), ("lists", AS_LISTS)],
    ids=["columns, columns", "columns, lists", "lists, columns", "lists, lists"],
)
def test_training_and_test_may_hold_the_same_labels_in_another_shape(
    files: Callable[..., DataBlock], train: Any, test: Any
):
    if train == "lists":
        train = [{"text": text, "labels": SETS[row % 4]} for row, (text, *_) in enumerate(rows())]
    block = files(train=train, test=test)
    assert check_data(block).faults == []
    splits = load_splits(block, 1)
    assert splits.task.labels == LABELS
    assert splits.test.targets.tolist() == [list(flags) for flags in FLAGS] * 6


@pytest.mark.parametrize("test", [AS_COLUMNS, AS_LISTS], ids=["columns", "lists"])
def test_a_trained_task_reads_a_file_of_either_shape(files: Callable[..., DataBlock], test: Any):
    path = files(train=test).source.train
    split = labelled_split(read_source(path, split="test"), DataBlock(), MultiLabel(LABELS)).split
    assert split.targets.tolist() == [list(flags) for flags in FLAGS] * 6


@pytest.mark.parametrize(
    ("columns", "task", "found"),
    [
        ({"text": ["a"], "joy": [1], "anger": [0]}, MultiLabel(LABELS), ["anger", "joy"]),
        ({"text": ["a"], "labels": [["joy"]]}, MultiLabel(LABELS), ["labels"]),
        ({"text": ["a"], "tags": ["joy|anger"], "x": [1]}, MultiLabel(LABELS), ["tags"]),
        ({"text": ["a"], "labels": [["fear"]]}, MultiLabel(LABELS), ["anger", "joy"]),  # which is then missed by name
        ({"text": ["a"], "labels": [["joy"]], "joy": [1]}, MultiLabel(LABELS), ["anger", "joy"]),
        ({"text": ["a"], "Labels": ["joy"], "labels": ["joy"]}, MultiLabel(LABELS), ["anger", "joy"]),
        ({"text": ["a"], "target": ["1|2.5"]}, Regression(columns=LABELS), ["target"]),
        ({"text": ["a"], "score": ["1"]}, Regression(columns=LABELS), ["anger", "joy"]),
        ({"text": [], "labels": []}, MultiLabel(LABELS), ["anger", "joy"]),
    ],
)
def test_what_stands_in_place_of_several_columns(columns: dict[str, Any], task: Any, found: list[str]):
    assert columns_of_target(table(**columns), LABELS, task) == found


def test_a_test_file_that_lacks_one_of_several_columns_is_named(files: Callable[..., DataBlock]):
    lacking = (("text", "anger"), [row[:2] for row in rows(24, "closing")])
    found = check_data(files(train=COLUMNS, test=lacking))
    assert [(fault.code, Path(fault.place).name) for fault in found.faults] == [("DATA-024", "train.csv")]
    assert "has no such column" in found.faults[0].text
    stated = check_data(files("anger,joy", train=COLUMNS, test=lacking))
    assert [(fault.code, Path(fault.place).name) for fault in stated.faults] == [("DATA-024", "test.csv")]
    assert 'there is no column "joy"' in stated.faults[0].text


def test_rows_that_are_wrong_in_one_column_are_named(files: Callable[..., DataBlock]):
    given = rows()
    given[5], given[9] = (given[5][0], 2, 0), (given[9][0], 1, "")
    found = check_data(files("anger,joy", train=(("text", *LABELS), given)), Wishes())
    assert [(Path(fault.place).name, fault.text) for fault in found.faults] == [
        ("train.csv:7", 'anger is "2", neither 0 nor 1'),
        ("train.csv:11", "joy is missing"),
    ]


@pytest.mark.parametrize("kind", ["parquet", "dataset"])
@pytest.mark.parametrize("width", [2, 3])
def test_lists_of_class_numbers_have_the_names_that_stand_in_the_file(tmp_path: Path, kind: str, width: int):
    """As the Hub's go_emotions: Sequence(ClassLabel), of which [0, 1] is the first class and the second."""
    import datasets

    names, numbers = ["ape", "bee", "owl"][:width], [[0], [0, 1], [], [1], [width - 1, 0]]
    inner = datasets.Sequence(datasets.ClassLabel(names=names))
    features = datasets.Features({"text": datasets.Value("string"), "labels": inner})
    given = {"text": [row[0] for row in rows(40)], "labels": [numbers[row % 5] for row in range(40)]}
    data = datasets.Dataset.from_dict(given, features=features)
    if kind == "parquet":
        data.to_parquet(str(tmp_path / "train.parquet"))
        splits = load_splits(DataBlock.model_validate({"source": {"train": str(tmp_path / "train.parquet")}}), 1)
    else:
        splits = load_splits(DataBlock(source="<python>"), 1, tables=python_tables(data, DataBlock(source="<python>")))
    assert splits.task.labels == tuple(names)
    wanted = {text: {names[number] for number in numbers[row % 5]} for row, text in enumerate(given["text"])}
    for (text,), target in zip(splits.train.texts, splits.train.targets, strict=True):
        assert set(splits.task.shown(target).split("|")) - {""} == wanted[text]


@pytest.mark.parametrize("name", ["multi_label", "regression"])
def test_columns_of_a_trained_model_are_read_by_their_names_in_any_order(name: str, tmp_path: Path):
    """Targets are read by position: named the other way round, joy must not be taken for anger."""
    path = tmp_path / "test.csv"
    path.write_text("text,joy,anger\n" + "".join(f"text {row},{row % 2},0\n" for row in range(8)), encoding="utf-8")
    task = MultiLabel(("anger", "joy")) if name == "multi_label" else Regression(columns=("anger", "joy"))
    for stated in (("joy", "anger"), ("anger", "joy"), None):
        split = labelled_split(read_table(path), DataBlock(label_columns=stated), task).split
        assert split.targets.tolist() == [[0, row % 2] for row in range(8)]
    path.write_text(path.read_text(encoding="utf-8").replace("anger", "text2"), encoding="utf-8")
    with pytest.raises(DataError, match="there is no column anger, which the model answers too"):
        labelled_split(read_table(path), DataBlock(label_columns=("joy", "text2")), task)


def test_a_trained_model_finds_the_same_contradictions_as_its_training_did(tmp_path: Path):
    """Nearly equal numbers of a text agree, whatever ends the drawn rows had: the same rows are kept again."""
    rows = [(f"text {row // 2}", str(row % 20 / 2 + (row % 2) * 0.3)) for row in range(120)]
    path = write_csv(tmp_path / "train.csv", [*rows, ("far", "40"), ("far", "0")], header=("text", "score"))
    block = DataBlock.model_validate({"source": {"train": str(path)}, "train_examples": 30})
    first = load_splits(block, 1)
    assert first.task.high[0] < 40, "the drawn rows do not have the file's ends"
    again = load_splits(block, 1, task=replace(first.task, is_folded=True))
    assert again.sha256() == first.sha256()
    assert first.rows["train"].dropped["repeated"] == 60, "no pair but that of 40 and 0 contradicts itself"
    assert first.rows["train"].dropped["labelled in two ways"] == 2


def test_a_file_to_evaluate_may_join_labels_by_another_mark():
    given = table(text=["x", "y"], labels=["anger + joy", "joy"])
    task = MultiLabel(LABELS, separator="|").parted_by("+")
    assert labelled_split(given, DataBlock(), task).split.targets.tolist() == [[1, 1], [0, 1]]
    assert Regression(columns=("score",)).parted_by("+") is None
