"""From files to training, validation and test rows: faults, duplicates, sizes, seeds; figures worked out by hand."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightune.data.columns import text_columns
from lightune.data.dataset import DataSplits, Split, labelled_split, load_splits, stratified
from lightune.data.tables import read_table
from lightune.errors import DataError
from lightune.recipe import DataBlock
from tiny import classes, write_csv

Rows = list[tuple[str, str]]
Load = Callable[..., DataSplits]
ABCD = classes(["a", "b", "c", "d"])


def numbered(prefix: str, **sizes: int) -> Rows:
    """Return rows with distinct texts, as many of each label as asked for."""
    return [(f"{prefix} {label} {number}", label) for label, size in sizes.items() for number in range(size)]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that writes the splits as csv and loads them; other keywords go into the data block."""

    def make(
        train: Rows, validation: Rows | None = None, test: Rows | None = None, seed: int = 1, **data: Any
    ) -> DataSplits:
        files = {}
        for name, rows in (("train", train), ("validation", validation), ("test", test)):
            if rows is not None:
                files[name] = str(tmp_path / f"{name}.csv")
                with open(files[name], "w", encoding="utf-8", newline="") as sink:
                    csv.writer(sink).writerows([("text", "label"), *rows])
        return load_splits(DataBlock.model_validate({"source": files, **data}), seed)

    return make


CLASSES = "Task: classification; column label holds 2 labels, one in each row."


def texts_of(split: Split) -> set[str]:
    return {text for (text,) in split.texts}


def rows_of(split: Split) -> list[tuple[Any, ...]]:
    """Return all that a split holds of each row, in order."""
    groups = [list(values) for values in split.groups.values()]
    return list(zip(split.texts, split.targets.tolist(), split.places, *groups, strict=True))


def counts(splits: DataSplits, split: Split) -> dict[str, int]:
    return {name: split.targets.tolist().count(index) for index, name in enumerate(splits.task.labels)}


def test_a_label_that_training_lacks_is_named_with_its_line_and_the_closest(load: Load, tmp_path: Path):
    """The very words of the design."""
    with pytest.raises(DataError) as caught:
        load(numbered("a", negative=5, positive=5), test=[("fine", "positive"), ("off", "Postive")])
    assert str(caught.value) == (
        f'DATA-014 {tmp_path}/test.csv:3: label "Postive" is not among the training labels (negative, positive).\n'
        'Did you mean "positive"? Fix the row, or pass --set data.on_unseen_label=drop.'
    )
    assert caught.value.exit_code == 3


def test_a_label_like_no_other_gets_no_guess(load: Load):
    with pytest.raises(DataError) as caught:
        load(numbered("a", negative=5, positive=5), test=[("off", "17")])
    assert caught.value.hint == "Fix the row, or pass --set data.on_unseen_label=drop."


def test_rows_with_a_label_that_training_lacks_can_be_dropped(load: Load, tmp_path: Path):
    test = [("fine", "positive"), ("off", "Postive"), ("bad", "negative"), ("odd", "17")]
    splits = load(numbered("a", negative=5, positive=5), test=test, on_unseen_label="drop")
    assert texts_of(splits.test) == {"fine", "bad"}
    note = f"{tmp_path}/test.csv: 2 rows dropped for a label that is not among the training labels."
    assert note in splits.notes


def test_rows_without_text_or_label_are_faults_unless_they_are_to_be_dropped(load: Load, tmp_path: Path):
    train = [*numbered("a", negative=5, positive=5), ("", "negative"), ("no label", " ")]
    test = [("good", "positive"), ("bad", "negative"), (" ", "positive")]
    with pytest.raises(DataError) as caught:
        load(train, test=test)
    assert "3 rows cannot be used" in caught.value.message
    assert "data.on_missing=drop" in caught.value.hint
    splits = load(train, test=test, on_missing="drop")
    assert texts_of(splits.test) == {"good", "bad"}
    assert f"{tmp_path}/train.csv: 2 rows without text or label dropped." in splits.notes
    assert f"{tmp_path}/test.csv: 1 row without text or label dropped." in splits.notes
    assert [splits.rows[name].dropped for name in ("train", "test")] == [
        {"without text or label": 2}, {"without text or label": 1},
    ]  # fmt: skip


def test_every_row_that_cannot_be_used_is_named_at_once(tmp_path: Path):
    rows: list[dict[str, Any]] = [{"text": text, "label": label} for text, label in numbered("a", no=5, yes=5)]
    rows[1]["text"] = "  "
    rows[3]["text"] = "nul \0 byte"
    rows[4]["text"] = "half a character \ud800"
    rows[6]["label"] = None
    rows[7]["label"] = " "
    del rows[8]["text"]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        load_splits(DataBlock(source=str(path)), 1)
    assert str(caught.value) == (
        "DATA-013 6 rows cannot be used:\n"
        f"  {path}:2: text is empty\n"
        f"  {path}:4: text holds a NUL byte\n"
        f"  {path}:5: text holds half a character (an unpaired surrogate)\n"
        f"  {path}:7: label is missing\n"
        f"  {path}:8: label is missing\n"
        f"  {path}:9: text is empty\n"
        "Fix the rows, or pass --set data.on_missing=drop."
    )
    assert caught.value.exit_code == 3


def test_of_many_faults_ten_are_listed_and_the_rest_counted(load: Load):
    with pytest.raises(DataError) as caught:
        load([*numbered("a", no=5, yes=5), *[("", "no")] * 14])
    assert caught.value.message.startswith("14 rows cannot be used:")
    assert caught.value.message.count("text is empty") == 10
    assert caught.value.message.endswith("and 4 more")


def test_dropping_unseen_labels_hides_no_other_fault(tmp_path: Path):
    """A text column may be called label_something."""
    path = tmp_path / "a.csv"
    rows = "".join(f"{text},{label}\n" for text, label in numbered("a", no=5, yes=5))
    path.write_text(f"label_text,label\n{rows},no\n")
    with pytest.raises(DataError, match=r"a\.csv:12: label_text is empty"):
        load_splits(DataBlock(source=str(path), text_column="label_text", on_unseen_label="drop"), 1)


def test_a_test_file_that_lacks_the_column_says_which_it_has(tmp_path: Path):
    rows = "".join(f"{text},{label}\n" for text, label in numbered("a", no=5, yes=5))
    (tmp_path / "train.csv").write_text(f"text,label\n{rows}")
    (tmp_path / "test.csv").write_text("texts,label\nx,no\n")
    files = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")}
    with pytest.raises(DataError, match=r'test.csv: there is no column "text"') as caught:
        load_splits(DataBlock.model_validate({"source": files}), 1)
    assert caught.value.hint == 'Did you mean "texts"? Columns: texts, label.'


TWINS = [*numbered("a", no=8, yes=8), ("A film", "no"), ("a  FILM", "no"), ("Two ways", "no"), ("two ways", "yes")]
LEAKS = [*TWINS, ("in test", "yes"), ("In Validation", "no")]
VALIDATION = [*numbered("v", no=2, yes=2), ("in validation", "no"), ("In test ", "yes")]
TEST = [*numbered("t", no=2, yes=2), ("in test", "yes")]


def test_duplicates_and_leaks_are_dropped_and_counted(load: Load):
    """Of twins the first stays, of contradicting twins none; the later split keeps what two splits share."""
    splits = load(LEAKS, VALIDATION, TEST)
    assert texts_of(splits.train) == {text for text, _ in numbered("a", no=8, yes=8)} | {"A film"}
    assert texts_of(splits.validation) == {text for text, _ in numbered("v", no=2, yes=2)} | {"in validation"}
    assert texts_of(splits.test) == {text for text, _ in TEST}
    assert splits.notes[-1] == (
        "Texts dropped from training and validation: 1 repeated, 2 labelled in two ways, 3 found in a later split too."
    )


def test_duplicates_can_be_kept_and_are_still_counted(load: Load):
    splits = load(LEAKS, VALIDATION, TEST, on_duplicate="keep")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (22, 6, 5)
    assert splits.notes[-1] == "Duplicates kept: 1 repeated, 2 labelled in two ways, 3 found in a later split too."


def test_duplicates_can_be_an_error(load: Load):
    with pytest.raises(DataError, match="1 repeated, 2 labelled in two ways, 3 found") as caught:
        load(LEAKS, VALIDATION, TEST, on_duplicate="error")
    assert caught.value.code == "DATA-031"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("policy", ["drop", "keep", "error"])
def test_without_duplicates_nothing_is_said(load: Load, policy: str):
    splits = load(
        numbered("a", no=8, yes=8), numbered("v", no=1, yes=1), numbered("t", no=2, yes=2), on_duplicate=policy
    )
    assert splits.notes == ["Columns guessed: text = text, label = label.", CLASSES]
    assert len(splits.train) == 16


def test_a_column_to_group_by_is_kept_whatever_its_values(tmp_path: Path):
    """Twenty users of one row each suggest no groups; asked for, they are kept beside the rows they belong to."""
    rows = [(f"text {number}", ("no", "yes")[number % 2], f"user {number}") for number in range(20)]
    path = write_csv(tmp_path / "train.csv", rows, ("text", "label", "user"))
    block = DataBlock(source={"train": str(path)})
    assert load_splits(block, 1).test.groups == {}
    test = load_splits(block, 1, group_by="user").test
    assert list(test.groups["user"]) == [f"user {text.split()[1]}" for (text,) in test.texts]
    assert load_splits(block, 1, group_by="none").test.groups == {}


def test_only_what_was_guessed_is_called_so(load: Load):
    rows = (numbered("a", no=8, yes=8), numbered("v", no=1, yes=1), numbered("t", no=2, yes=2))
    assert load(*rows, text_column="text").notes == ["Columns guessed: label = label.", CLASSES]
    assert load(*rows, text_column="text", label_column="label").notes == [CLASSES]


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ((50, 30, 20), 10, (5, 3, 2)),
        ((5, 4, 2), 7, (3, 3, 1)),  # shares 3.18, 2.55, 1.27: the one left over goes to .55
        ((7, 3), 5, (4, 1)),  # shares 3.5, 1.5: a tie goes to the first label
        ((90, 10), 25, (23, 2)),  # shares 22.5, 2.5
        ((1000, 1), 100, (100, 0)),  # shares 99.9, 0.1
        ((3, 3), 6, (3, 3)),
        ((3, 3), 7, (3, 3)),
    ],
)
def test_a_stratified_draw_has_each_labels_share(sizes: tuple[int, ...], count: int, expected: tuple[int, ...]):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    split = Split([(str(number),) for number in range(len(labels))], np.array(labels))
    _, chosen = stratified(split, ABCD, count, 1, "test")
    assert tuple(chosen.targets.tolist().count(label) for label in range(len(sizes))) == expected


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_draw_and_its_rest_are_the_whole_and_no_label_is_off_by_one(
    labels: list[int], data: st.DataObject, seed: int
):
    count = data.draw(st.integers(0, len(labels)))
    kinds = {"kind": [str(label) for label in labels]}
    split = Split([(str(number),) for number in range(len(labels))], np.array(labels), kinds)
    rest, chosen = stratified(split, ABCD, count, seed, "any")
    assert len(chosen) == count
    assert Counter([*rest.texts, *chosen.texts]) == Counter(split.texts)
    for label, size in Counter(labels).items():
        assert abs(chosen.targets.tolist().count(label) - count * size / len(labels)) < 1
    for part in (rest, chosen):
        assert part.targets.tolist() == [labels[int(text)] for (text,) in part.texts]
        assert part.groups["kind"] == [str(label) for label in part.targets.tolist()]


def test_the_seed_changes_the_training_rows_but_never_the_test_rows(load: Load):
    rows, test = numbered("a", no=40, yes=40), numbered("t", no=20, yes=20)
    first, again, second = (load(rows, test=test, seed=seed, train_examples=20, test_examples=10) for seed in (1, 1, 2))
    assert rows_of(first.train) == rows_of(again.train)
    assert texts_of(first.validation) != texts_of(second.validation)
    drawn = [texts_of(splits.train) | texts_of(splits.validation) for splits in (first, second)]
    assert len(drawn[0]) == len(drawn[1]) == 20
    assert drawn[0] != drawn[1]
    assert rows_of(first.test) == rows_of(second.test)
    assert first.sha256() == again.sha256() != second.sha256()


def test_the_held_out_test_rows_do_not_hang_on_the_seed_either(load: Load):
    rows = numbered("a", no=40, yes=40)
    first, second = load(rows, seed=1), load(rows, seed=2)
    assert rows_of(first.test) == rows_of(second.test)
    assert rows_of(first.train) != rows_of(second.train)


def test_a_fifth_is_held_out_for_test_and_a_fifth_of_the_rest_for_validation(load: Load):
    """Of 100 rows 20 are test; of the 80 left 16 are validation (9.6 and 6.4); each keeps 60 to 40."""
    splits = load(numbered("a", no=60, yes=40))
    assert counts(splits, splits.test) == {"no": 12, "yes": 8}
    assert counts(splits, splits.validation) == {"no": 10, "yes": 6}
    assert counts(splits, splits.train) == {"no": 38, "yes": 26}
    assert not texts_of(splits.train) & texts_of(splits.validation)
    assert not texts_of(splits.test) & (texts_of(splits.train) | texts_of(splits.validation))
    assert "No test split was given: 20 training rows were held out as test, before anything else." in splits.notes
    assert "16 of the 80 training examples were set aside for validation." in splits.notes


def test_training_examples_count_what_is_set_aside_for_validation(load: Load):
    splits = load(numbered("a", no=60, yes=40), test=numbered("t", no=3, yes=3), train_examples=50)
    assert counts(splits, splits.train) == {"no": 24, "yes": 16}
    assert counts(splits, splits.validation) == {"no": 6, "yes": 4}
    assert len(splits.test) == 6


def test_the_number_of_validation_examples_can_be_stated(load: Load):
    splits = load(numbered("a", no=30, yes=30), test=numbered("t", no=3, yes=3), validation_examples=6)
    assert counts(splits, splits.validation) == {"no": 3, "yes": 3}
    assert len(splits.train) == 54


def test_a_validation_file_is_used_besides_the_training_examples(load: Load):
    validation = numbered("v", no=5, yes=5)
    splits = load(numbered("a", no=30, yes=30), validation, numbered("t", no=3, yes=3), train_examples=20)
    assert (len(splits.train), texts_of(splits.validation)) == (20, {text for text, _ in validation})


@pytest.mark.parametrize(
    ("data", "expected", "validation_from"),
    [
        ({}, (60, 20, 10), "validation"),
        ({"train_examples": 30}, (24, 6, 10), "train"),
        ({"train_examples": 30, "validation_examples": 8, "test_examples": 4}, (22, 8, 4), "train"),
    ],
)
def test_a_hub_data_sets_validation_split_is_not_used_beyond_the_budget(
    hub_data: str, data: dict[str, int], expected: tuple[int, int, int], validation_from: str
):
    """Nobody asked for its validation split, and its labels would come on top of `train_examples`."""
    splits = load_splits(DataBlock.model_validate({"source": hub_data, **data}), 1)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == expected
    assert {text.split()[0] for text in texts_of(splits.validation)} == {validation_from}


def test_a_hub_data_set_keeps_its_class_names_and_commit(hub_data: str):
    splits = load_splits(DataBlock(source=hub_data), 1)
    assert splits.task.labels == ("neg", "pos")
    assert counts(splits, splits.test) == {"neg": 5, "pos": 5}
    assert all(
        ("neg" in text) == (label == 0)
        for (text,), label in zip(splits.test.texts, splits.test.targets.tolist(), strict=True)
    )
    assert splits.revision == "0" * 40


@pytest.fixture
def hub_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a data set that lies in the Hub's cache as a download would leave it: 60, 20 and 10 rows."""
    import datasets
    import huggingface_hub.constants as hub

    folder = tmp_path / "hub" / "datasets--someone--films"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    for split, half in (("train", 30), ("validation", 10), ("test", 5)):
        texts, names = zip(*numbered(split, neg=half, pos=half), strict=True)
        rows = datasets.Dataset.from_dict({"text": texts, "label": list(names)}, features=features)
        rows.to_parquet(str(snapshot / f"{split}.parquet"))
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return "someone/films"


def test_every_class_has_to_be_among_the_training_rows(load: Load):
    with pytest.raises(DataError, match="no training example has the label rare") as caught:
        load(numbered("a", often=99, rare=2), test=[("x", "often")], train_examples=10)
    assert caught.value.code == "DATA-032"


@pytest.mark.parametrize(
    ("data", "empty"), [({"validation_examples": 9}, "training"), ({"train_examples": 2}, "validation")]
)
def test_a_split_without_rows_is_refused(load: Load, data: dict[str, int], empty: str):
    with pytest.raises(DataError, match=f"the {empty} split is empty") as caught:
        load(numbered("a", no=2, yes=2), **data)
    assert caught.value.exit_code == 3


def test_a_pair_of_texts_stays_a_pair(tmp_path: Path):
    path = tmp_path / "pairs.csv"
    path.write_text("premise,hypothesis,label\n" + "".join(f"p{row},h{row},{row % 2}\n" for row in range(20)))
    splits = load_splits(DataBlock(source=str(path), text_column=("premise", "hypothesis")), 1)
    assert splits.text_columns == ["premise", "hypothesis"]
    assert all(second == "h" + first[1:] for first, second in splits.train.texts)


def test_the_same_half_in_another_pair_is_no_duplicate(tmp_path: Path):
    path = tmp_path / "pairs.csv"
    path.write_text("premise,hypothesis,label\n" + "".join(f"p{row // 2},h{row % 2},{row % 2}\n" for row in range(20)))
    splits = load_splits(DataBlock(source=str(path), text_column=("premise", "hypothesis"), on_duplicate="error"), 1)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 20


def test_another_file_is_labelled_by_the_names_a_model_knows(tmp_path: Path):
    """In the model's order, not in the order of the file's own class names."""
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    rows = datasets.Dataset.from_dict({"text": ["x", "y", "z"], "label": [0, 1, 0]}, features=features)
    rows.to_parquet(str(tmp_path / "a.parquet"))
    table = read_table(tmp_path / "a.parquet")
    assert text_columns(table, None) == (["text"], True)
    assert labelled_split(table, DataBlock(), classes(["neg", "pos"])).split.targets.tolist() == [1, 0, 1]


def test_the_embedded_reviews_are_used_whole_and_grouped_by_kind():
    splits = load_splits(DataBlock(), 1)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (2000, 500, 1500)
    assert splits.task.labels == ("negative", "positive")
    assert set(splits.test.groups) == {"kind"}
    assert splits.notes == []


def test_the_embedded_validation_split_is_not_used_beyond_the_budget_either():
    splits = load_splits(DataBlock(train_examples=100), 1)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (80, 20, 1500)
    with_validation = load_splits(DataBlock(train_examples=100, validation_examples=50), 1)
    assert (len(with_validation.train), len(with_validation.validation)) == (50, 50)
