"""Labels that look alike, and labels with one text: faults with a remedy to copy, merged and left out where asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lightune.data.check import Checked, check_data
from lightune.data.dataset import load_splits
from lightune.data.python_data import python_tables
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
    found = checked(tmp_path, ROWS, ["one more text,bILLING", "and another,LOGIN"], on_alike_label="merge")
    assert [fault.code for fault in found.faults] == ["DATA-014", "DATA-014"]  # training has neither spelling
    found = checked(tmp_path, ROWS, ["one more text,billing", "and another,'Login'"], on_alike_label="merge")
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
    train, test = found.scans["train"], found.scans["test"]
    assert Counter(train.targets[train.rows].tolist()) == {0: 12, 1: 8}
    assert test.targets[test.rows].tolist() == [0, 1]
    assert [note for note in found.notes if "written as" in note] == [
        f'{tmp_path}/a.csv: "BILLING", "billing" written as "Billing".',
        f"""{tmp_path}/a.csv: "'Login'" written as "login".""",
    ]


def test_rows_of_rare_labels_are_left_out_of_every_file_and_counted(tmp_path: Path):
    found = checked(tmp_path, [*ROWS[:3], *RARE, *ROWS[3:]], ["more jobs,jobs", "a bill,Billing"], **BOTH)
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
    train, test = found.rows["train"], found.rows["test"]
    assert (train.rows_in, train.used, train.dropped) == (22, {"train": 20}, {"label with one text": 2})
    assert (test.rows_in, test.used, test.dropped) == (2, {"test": 1}, {"label with one text": 1})
    table = found.tables.train
    assert [table.place(row).rpartition(":")[2] for row in (2, 3)] == ["4", "7"]  # lines of the file
    assert list(table.columns["text"])[2:4] == ["text number 2", "text number 3"]
    note = f'{tmp_path}/a.csv: 2 rows left out for labels with one training text: "jobs", "praise".'
    assert note in found.notes


def test_a_label_whose_texts_are_all_the_same_is_rare(tmp_path: Path):
    """Repeated texts are dropped from training, so that one of them would be left."""
    rows = [*ROWS[:9], *ROWS[12:18], "Thank you!,praise", "thank  you,praise"]
    assert "DATA-034" in [fault.code for fault in checked(tmp_path, rows, on_alike_label="merge").faults]
    found = checked(tmp_path, rows, **BOTH)
    assert (found.faults, found.rows["train"].dropped) == ([], {"label with one text": 2})


def test_a_folder_of_files_keeps_the_places_of_its_rows(tmp_path: Path):
    (tmp_path / "one.csv").write_text("\n".join(["text,label", RARE[0], *ROWS[:5], *ROWS[12:18], ""]))
    (tmp_path / "two.csv").write_text("\n".join(["text,label", *ROWS[5:9], RARE[1], *ROWS[9:12], ""]))
    found = check_data(DataBlock.model_validate({"source": str(tmp_path), **BOTH}))
    table = found.tables.train
    assert len(table) == 18
    places = [table.place(row).removeprefix(f"{tmp_path}/") for row in (0, 10, 11, 14, 15, 17)]
    assert places == ["one.csv:3", "one.csv:13", "two.csv:2", "two.csv:5", "two.csv:7", "two.csv:9"]


def test_what_is_asked_for_where_nothing_is_alike_or_rare_changes_nothing(tmp_path: Path):
    plain = [*ROWS[:5], *ROWS[12:18]]
    usual, asked = checked(tmp_path, plain), checked(tmp_path, plain, **BOTH)
    assert (asked.notes, asked.rows, asked.task) == (usual.notes, usual.rows, usual.task)


def test_numbers_that_are_classes_stay_apart_and_else_are_one(tmp_path: Path):
    rows = [f"text number {row},{label}" for row, label in enumerate(["7"] * 4 + ["007"] * 3 + ["8"] * 4)]
    assert checked(tmp_path, rows, on_alike_label="merge").task.labels == ("7", "8")
    assert len(checked(tmp_path, rows, on_alike_label="merge", label_kind="class").task.labels) == 3


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_have_no_alike_and_rare_labels_of_a_row(tmp_path: Path, task: str):
    cells = ["a|b", "a", "b"] * 8 if task == "multi_label" else [f"{row}.5" for row in range(24)]
    found = checked(tmp_path, [f"text number {row},{cell}" for row, cell in enumerate(cells)], task=task, **BOTH)
    assert found.faults == []
    assert len([note for note in found.notes if "are settled where a row has one label" in note]) == 1
    assert found.rows["train"].used == {"train": 24}


def test_the_rows_are_the_same_when_the_task_is_known_already(tmp_path: Path):
    """As `lightune evaluate RUN` reads a run's own data again."""
    block = DataBlock.model_validate({"source": checked(tmp_path, [*ROWS, *RARE]).tables.name, **BOTH})
    first = load_splits(block, 42)
    assert first.sha256() == load_splits(block, 42, task=first.task).sha256()


def test_data_from_python_is_settled_too():
    texts = [row.split(",")[0] for row in [*ROWS, *RARE]]
    labels = [row.split(",")[1].strip() for row in [*ROWS, *RARE]]
    found = check_data(DataBlock.model_validate(BOTH), tables=python_tables((texts, labels)))
    assert found.faults == []
    assert found.task.labels == ("Billing", "login")
