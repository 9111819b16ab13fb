"""Labels that look alike, and labels with one text: faults with a remedy to copy, merged and left out where asked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import lightune
from lightune.data.check import Checked, check_data
from lightune.data.dataset import load_splits
from lightune.data.python_data import python_tables
from lightune.inference.labelled_evaluation import Asked, evaluate_file, evaluate_own_test
from lightune.recipe import DataBlock
from lightune.tasks.columns import Wishes

SPELT = ["Billing"] * 5 + ["billing"] * 4 + [" BILLING "] * 3 + ["login"] * 6 + ["'Login'"] * 2
ROWS = [f"text number {row},{label}" for row, label in enumerate(SPELT)]
RARE = ["a text about praise,praise", "a text about jobs,jobs"]
BOTH = {"on_alike_label": "merge", "on_rare_label": "drop"}


def checked(tmp_path: Path, rows: list[str], others: list[str] = (), task: str = "auto", **stated: str) -> Checked:
    source = {"train": str(tmp_path / "a.csv")}
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    if others:
        (tmp_path / "b.csv").write_text("\n".join(["text,label", *others, ""]), encoding="utf-8")
        source["test"] = str(tmp_path / "b.csv")
    return check_data(DataBlock.model_validate({"source": source, **stated}), Wishes(task))


def test_the_faults_propose_what_to_copy(tmp_path: Path):
    found = checked(tmp_path, [*ROWS, *RARE])
    hints = {code: [fault.hint for fault in found.faults if fault.code == code] for code in ("DATA-033", "DATA-034")}
    assert sorted(hints["DATA-033"]) == [
        'Write "Billing" everywhere, or pass --set data.on_alike_label=merge.',
        'Write "login" everywhere, or pass --set data.on_alike_label=merge.',
    ]
    assert hints["DATA-034"] == ["Add rows, or leave such labels out: --set data.on_rare_label=drop."] * 2


def test_alike_labels_become_the_commonest_of_them(tmp_path: Path):
    others = ["one more text,bILLING", "and another,'Login'", "a third,logout"]
    found = checked(tmp_path, ROWS, others, on_alike_label="merge")
    assert [(fault.code, fault.place) for fault in found.faults] == [("DATA-014", f"{tmp_path}/b.csv:4")]
    found = checked(tmp_path, ROWS, others[:2], on_alike_label="merge")
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
    train, test = found.scans["train"], found.scans["test"]
    assert Counter(train.targets[train.rows].tolist()) == {0: 12, 1: 8}
    assert test.targets[test.rows].tolist() == [0, 1]  # a spelling that training lacks is understood too
    assert [note for note in found.notes if "read as" in note] == [
        f'{tmp_path}/a.csv: "BILLING", "billing" read as "Billing".',
        f"""{tmp_path}/a.csv: "'Login'" read as "login".""",
    ]


def test_rows_of_rare_labels_are_left_out_of_every_file_and_counted(tmp_path: Path):
    found = checked(tmp_path, [*ROWS[:3], *RARE, *ROWS[3:]], ["more jobs,jobs", "a bill,Billing"], **BOTH)
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
    train, test = found.rows["train"], found.rows["test"]
    assert (train.rows_in, train.used, train.dropped) == (22, {"train": 20}, {"of a label with one text": 2})
    assert (test.rows_in, test.used, test.dropped) == (2, {"test": 1}, {"of a label with one text": 1})
    split = found.scans["train"]
    assert [split.table.place(row).rpartition(":")[2] for row in split.rows[2:4]] == ["4", "7"]  # lines of the file
    assert Counter(split.targets[split.rows].tolist()) == {0: 12, 1: 8}
    assert f"{tmp_path}/a.csv: 2 rows left out, of labels with one training text or none." in found.notes
    assert 'Labels left out: "jobs", "praise".' in found.notes


LEFT = [*ROWS[:9], *ROWS[12:18]]


@pytest.mark.parametrize(
    ("rows", "test", "stated", "dropped"),
    [
        (["Thank you!,praise", "thank  you,praise"], [], {}, {"repeated": 1, "of a label with one text": 1}),
        (["Thank you!,praise"] * 9, [], {}, {"repeated": 8, "of a label with one text": 1}),
        (["Thank you!,HR", "thank you,hr"], [], {}, {"repeated": 1, "of a label with one text": 1}),
        (["Thanks a lot,praise", ",praise"], [], {"on_missing": "drop"},
         {"without text or label": 1, "of a label with one text": 1}),
        (["Thank you!,praise", "Many thanks,praise"], ["many thanks,Billing"], {},
         {"in the test file too": 1, "of a label with one text": 1}),
        (["Thank you!,praise", "thank you,Billing", "Merci,praise"], [], {}, None),
    ],
    ids=["twice", "nine times", "alike", "empty", "in the test file", "contradicted"],
)  # fmt: skip
def test_rare_is_what_is_left_once_everything_else_is_left_out(
    tmp_path: Path, rows: list[str], test: list[str], stated: dict[str, str], dropped: dict[str, int] | None
):
    """What the fault without the setting says is rare is what the setting leaves out."""
    usual = checked(tmp_path, [*LEFT, *rows], test, on_alike_label="merge", **stated)
    assert "DATA-034" in [fault.code for fault in usual.faults]
    found = checked(tmp_path, [*LEFT, *rows], test, **BOTH, **stated)
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
    if dropped is not None and not test:
        assert found.rows["train"].dropped == dropped


def test_kept_duplicates_are_texts(tmp_path: Path):
    rows = [*LEFT, "Thank you!,praise", "thank  you,praise"]
    found = checked(tmp_path, rows, on_duplicate="keep", **BOTH)
    assert (found.faults, found.task.labels) == ([], ("Billing", "login", "praise"))


def test_a_test_file_of_rare_labels_alone_is_empty(tmp_path: Path):
    found = checked(tmp_path, [*ROWS, *RARE], ["more praise,praise"], **BOTH)
    assert [fault.code for fault in found.faults] == ["DATA-030"]


def test_where_every_label_is_rare_nothing_is_left(tmp_path: Path):
    found = checked(tmp_path, [f"a text about {word},{word}" for word in ("tea", "milk")] + LEFT[:3], **BOTH)
    assert found.faults[0].code == "DATA-022"


def test_what_is_asked_for_where_nothing_is_alike_or_rare_changes_nothing(tmp_path: Path):
    plain = [*ROWS[:5], *ROWS[12:18]]
    usual, asked = checked(tmp_path, plain), checked(tmp_path, plain, **BOTH)
    assert (asked.notes, asked.rows, asked.task.labels) == (usual.notes, usual.rows, usual.task.labels)
    targets = [found.scans["train"].targets.tolist() for found in (usual, asked)]
    assert targets[0] == targets[1]


def test_class_names_of_a_file_are_settled_too(tmp_path: Path):
    names = ["Billing", "billing", "login", "praise", "unused"]
    table = pa.table({"text": [f"text {row}" for row in range(21)], "label": [0, 1, 2] * 6 + [1, 0, 3]})
    features = {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    meta = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(meta), tmp_path / "a.parquet")
    found = check_data(DataBlock.model_validate({"source": str(tmp_path / "a.parquet"), **BOTH}))
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
    split = found.scans["train"]
    assert Counter(split.targets[split.rows].tolist()) == {0: 14, 1: 6}


def test_numbers_that_are_classes_stay_apart_and_else_are_one(tmp_path: Path):
    rows = [f"text number {row},{label}" for row, label in enumerate(["7"] * 4 + ["007"] * 3 + ["8"] * 4)]
    assert checked(tmp_path, rows, on_alike_label="merge").task.labels == ("7", "8")
    assert len(checked(tmp_path, rows, on_alike_label="merge", label_kind="class").task.labels) == 3


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_have_no_alike_and_rare_labels_of_a_row(tmp_path: Path, task: str):
    cells = ["a|b", "a", "b"] * 8 if task == "multi_label" else [f"{row}.5" for row in range(24)]
    found = checked(tmp_path, [f"text number {row},{cell}" for row, cell in enumerate(cells)], task=task, **BOTH)
    assert found.faults == []
    assert len([note for note in found.notes if "is for one label a row" in note]) == 1
    assert found.rows["train"].used == {"train": 24}


def test_the_rows_are_the_same_when_the_task_is_known_already(tmp_path: Path):
    """As `lightune evaluate RUN` reads a run's own data again."""
    block = DataBlock.model_validate({"source": checked(tmp_path, [*ROWS, *RARE]).tables.name, **BOTH})
    first = load_splits(block, 42)
    again = load_splits(block, 42, task=first.task)
    assert (again.sha256(), again.task) == (first.sha256(), first.task)


def test_data_from_python_is_settled_too():
    texts = [row.split(",")[0] for row in [*ROWS, *RARE]]
    labels = [row.split(",")[1].strip() for row in [*ROWS, *RARE]]
    found = check_data(DataBlock.model_validate(BOTH), tables=python_tables((texts, labels)))
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")


def test_a_run_on_settled_labels_measures_its_own_test_split_again(tmp_path: Path, tiny_recipe: Any):
    """007 is 7 for the run, and HR is not there: for `evaluate RUN` and for `evaluate RUN --test` of its file."""
    rows = [f"{word} film number {row},{label}" for row in range(12) for word, label in
            (("lovely", "7"), ("lively", "007"), ("clever", "7"), ("dreadful", "8"))]  # fmt: skip
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["text,label", *rows, "a job,9", ""]), encoding="utf-8")
    given = tiny_recipe("distilbert", "lora", num_train_epochs=1).model_dump(mode="json")
    given["data"] |= {"source": {"train": str(path)}, **BOTH}
    record = lightune.run(given, tmp_path / "out")
    assert record.task.labels == ["7", "8"]
    classifier = lightune.load(tmp_path / "out")
    again = evaluate_own_test(classifier, tmp_path / "out")
    assert (again.metrics, again.examples) == (record.after.metrics, record.data.test_examples)
    found = evaluate_file(classifier, path, Asked(skips_faults=True))
    assert (found.examples, found.rows_dropped) == (48, {"with a label that training lacks": 1})
