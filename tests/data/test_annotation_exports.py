"""Exports of annotation tools, by their documented formats, and .json files as pandas and people write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lightune.data.check import check_data
from lightune.data.sources import read_source
from lightune.data.tables import Table, read_table
from lightune.data.text_file import TextFormat
from lightune.errors import DataError
from lightune.recipe import DataBlock

ROWS = [{"text": "fine food", "label": "good"}, {"text": "rude staff", "label": "bad"}]
LABELS = ["good", "bad"]


def put(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, cells, strict=True)) for cells in zip(*table.columns.values(), strict=True)]


@pytest.mark.parametrize(
    "value",
    [ROWS, {"data": ROWS, "version": 1}, {"text": ["fine food", "rude staff"], "label": LABELS}],
    ids=["records", "inside", "columns"],
)
def test_the_usual_forms_of_a_table_in_json(tmp_path: Path, value: Any):
    table = read_table(put(tmp_path / "a.json", value))
    assert rows_of(table) == ROWS
    assert table.place(1) == f"{tmp_path}/a.json:2"


@pytest.mark.parametrize("orient", ["records", "list", "split", "columns"])
def test_what_pandas_writes(tmp_path: Path, orient: str):
    frame = pd.DataFrame(ROWS)
    value = frame.to_dict(orient) if orient == "list" else json.loads(frame.to_json(orient=orient))
    assert rows_of(read_table(put(tmp_path / "a.json", value))) == ROWS


@pytest.mark.parametrize(
    ("text", "word", "remedy"),
    [
        ("[{]", "not JSON", "Valid: a list of objects"),
        ("3", "no table", "Valid"),
        ('{"a": 1}', "no table", "Valid"),
        ('[{"a": 1}, 3]', "not an object", "Valid"),
        ('[{"a": NaN}]', "NaN", "Valid"),
    ],
)
def test_json_that_is_no_table_is_a_fault(tmp_path: Path, text: str, word: str, remedy: str):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert (caught.value.code, word in caught.value.message, remedy in caught.value.hint) == ("DATA-008", True, True)


def task_of_label_studio(number: int, *choices: list[str], cancelled: bool = False) -> dict[str, Any]:
    """Return a task as Label Studio's JSON has it, with an annotation for each list of choices."""
    results = [
        {
            "id": 10 * number + place,
            "was_cancelled": cancelled,
            "result": [{"value": {"choices": chosen}, "from_name": "topic", "to_name": "text", "type": "choices"}],
        }
        for place, chosen in enumerate(choices)
    ]
    return {"id": number, "data": {"text": f"text {number}"}, "annotations": results, "predictions": []}


def test_label_studio_gives_a_row_for_each_annotation(tmp_path: Path):
    tasks = [
        task_of_label_studio(1, ["food"]), task_of_label_studio(2, ["food", "price"], ["price"]),
        task_of_label_studio(3), task_of_label_studio(4, ["food"], cancelled=True),
    ]  # fmt: skip
    path = put(tmp_path / "a.json", tasks)
    table = read_table(path)
    assert rows_of(table) == [
        {"text": "text 1", "topic": ["food"]}, {"text": "text 2", "topic": ["food", "price"]},
        {"text": "text 2", "topic": ["price"]},
    ]  # fmt: skip
    assert table.skipped == {"without annotation": 2}
    assert [table.place(row) for row in range(3)] == [f"{path}:1", f"{path}:2", f"{path}:2"]
    assert table.notes == [f"{path}: Label Studio's export: 3 annotations of 4 texts."]


def test_ratings_and_numbers_of_label_studio_are_numbers(tmp_path: Path):
    results = [{"value": {"rating": 4}, "from_name": "stars"}, {"value": {"number": 2.5}, "from_name": "hours"}]
    task = {"data": {"text": "x"}, "annotations": [{"result": results}]}
    assert rows_of(read_table(put(tmp_path / "a.json", [task]))) == [{"text": "x", "stars": 4, "hours": 2.5}]


def answer_of_prodigy(text: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "_input_hash": 1, "_task_hash": 2, "answer": answer, **more}


def test_rejected_and_ignored_answers_of_prodigy_are_left_out_and_counted(tmp_path: Path):
    rows = [
        answer_of_prodigy("a", "accept", label="good"), answer_of_prodigy("b", "reject", label="good"),
        answer_of_prodigy("c", "ignore", label="bad"), answer_of_prodigy("d", "accept", label="bad"),
    ]  # fmt: skip
    table = read_table(lines(tmp_path / "a.jsonl", rows))
    assert [row["text"] for row in rows_of(table)] == ["a", "d"]
    assert table.skipped == {"rejected or ignored in Prodigy": 2}


def test_an_answer_column_of_other_data_means_nothing(tmp_path: Path):
    rows = [{"text": "a", "answer": "reject"}, {"text": "b", "answer": "accept"}]
    assert len(read_table(lines(tmp_path / "a.jsonl", rows))) == 2


@pytest.mark.parametrize(
    ("labels", "task"),
    [([["good"], ["bad"]], "classification"), ([["good"], ["bad", "good"]], "multi_label"),
     ([["good"], []], "multi_label")],
)  # fmt: skip
def test_lists_of_one_label_each_are_one_label_a_text(tmp_path: Path, labels: list[list[str]], task: str):
    """As doccano and Label Studio write them; `label` and `text` are the names of doccano's JSONL."""
    rows = [{"id": row, "text": f"text number {row}", "label": labels[row % 2], "Comments": []} for row in range(40)]
    rows[0] |= {"label": ["bad"]}
    path = lines(tmp_path / "a.jsonl", rows)
    found = check_data(DataBlock(source=str(path)))
    assert found.faults == []
    assert found.task is not None
    assert found.task.name == task
    assert set(found.task.labels) == {"good", "bad"}


def test_several_choices_of_label_studio_in_a_cell(tmp_path: Path):
    """CSV has the object as text, JSON-MIN as it is; a single choice is a plain text in both."""
    cells = ['"{""choices"": [""price"", ""staff""]}"', "price", "staff", '"{""choices"": [""staff"", ""price""]}"'] * 5
    path = tmp_path / "a.csv"
    path.write_text(
        "text,topic\n" + "".join(f"text {row},{cell}\n" for row, cell in enumerate(cells)), encoding="utf-8"
    )
    records = [
        {"text": f"text {row}", "topic": topic}
        for row, topic in enumerate(
            [{"choices": ["price", "staff"]}, "price", "staff", {"choices": ["staff", "price"]}] * 5
        )
    ]
    for file in (path, put(tmp_path / "a.json", records)):
        found = check_data(DataBlock(source=str(file), label_column="topic"))
        assert found.faults == []
        assert (found.task.name, found.task.labels) == ("multi_label", ("price", "staff"))
        assert found.scans["train"].targets[:4].tolist() == [[1, 1], [1, 0], [0, 1], [1, 1]]


def prodigy(answers: list[str], **more: Any) -> list[dict[str, Any]]:
    given = {"_input_hash": 1, "_task_hash": 2, "label": "PRAISE", **more}
    return [{"text": f"text {row}", **given, "answer": answer} for row, answer in enumerate(answers)]


def test_prodigys_answers_on_one_label_are_examples_with_and_without_it(tmp_path: Path):
    table = read_table(lines(tmp_path / "a.jsonl", prodigy(["accept", "reject", "ignore", "accept"])))
    assert list(table.columns["label"]) == ["PRAISE", "not PRAISE", "PRAISE"]
    assert table.skipped == {"rejected or ignored in Prodigy": 1}
    assert any('"not PRAISE"' in note for note in table.notes)


def test_of_several_labels_a_rejected_one_leaves_open_which_holds(tmp_path: Path):
    records = [*prodigy(["accept", "reject"]), *prodigy(["accept", "reject"], label="BLAME")]
    table = read_table(lines(tmp_path / "a.jsonl", records))
    assert list(table.columns["label"]) == ["PRAISE", "BLAME"]
    assert table.notes == []


def test_prodigys_answers_on_one_label_each_in_several_files_are_a_fault(tmp_path: Path):
    """Together they would be four classes: PRAISE, not PRAISE, BLAME, not BLAME."""
    lines(tmp_path / "x.jsonl", prodigy(["accept", "reject"]))
    other = lines(tmp_path / "y.jsonl", prodigy(["accept", "reject"], label="BLAME"))
    with pytest.raises(DataError) as caught:
        read_source(str(tmp_path / "*.jsonl"))
    assert caught.value.code == "DATA-083"
    assert str(other) in caught.value.message
    lines(other, prodigy(["accept", "accept"]))  # on the same label
    assert sorted(read_source(str(tmp_path / "*.jsonl")).columns["label"]) == ["PRAISE"] * 3 + ["not PRAISE"]


def test_json_under_the_name_of_its_other_form_is_read_and_said(tmp_path: Path):
    by_line = lines(tmp_path / "a.json", ROWS)
    table = read_table(by_line)
    assert rows_of(table) == ROWS
    assert table.notes == [f"{by_line}: it holds one object a line, and is read as .jsonl."]
    array = put(tmp_path / "a.jsonl", ROWS)
    table = read_table(array)
    assert rows_of(table) == ROWS
    assert table.notes == [f"{array}: it holds one JSON array, and is read as .json."]


def test_fasttexts_files(tmp_path: Path):
    """fasttext.cc/docs/en/supervised-tutorial.html: labels begin with __label__, wherever they stand."""
    path = tmp_path / "a.txt"
    path.write_text(
        "__label__sauce __label__cheese How much, and why?\n\nno label\nMore __label__bread\n", encoding="utf-8"
    )
    table = read_table(path)
    assert rows_of(table) == [
        {"text": "How much, and why?", "label": ["sauce", "cheese"]},
        {"text": "no label", "label": None},
        {"text": "More", "label": ["bread"]},
    ]
    assert (table.skipped, [table.place(row) for row in range(3)]) == (
        {"blank line": 1},
        [f"{path}:{n}" for n in (1, 3, 4)],
    )


def test_a_table_whose_first_cell_is_a_label_of_fasttext_is_a_table(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('__label__pos,"I love it so"\n__label__neg,"no, never"\n', encoding="utf-8")
    expected = [{"label": "__label__pos", "text": "I love it so"}, {"label": "__label__neg", "text": "no, never"}]
    assert rows_of(read_table(path, stated=TextFormat(column_names=("label", "text")))) == expected
    assert list(read_table(path).columns) == ["__label__pos", "I love it so"]  # which the check doubts
    path.write_text("__label__pos fine\tgood\n", encoding="utf-8")
    stated = TextFormat(separator="\t", column_names=("a", "b"))
    assert rows_of(read_table(path, stated=stated)) == [{"a": "__label__pos fine", "b": "good"}]
