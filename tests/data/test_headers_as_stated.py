"""Column names below a title, in no row, in two rows; sheets of a workbook: proposed by a fault, and stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lightune.data.tables import Table, read_table
from lightune.data.text_file import TextFormat
from lightune.errors import DataError
from lightune.recipe import DataBlock, RecipeError, parse_recipe

ROWS = [("fine, really", "good"), ("rude staff", "bad"), ("a waste", "bad"), ("lovely place", "good")]
COLUMNS = {"comment": [text for text, _ in ROWS], "mood": [label for _, label in ROWS]}


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def workbook(path: Path, **sheets: list[tuple[Any, ...]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def fault_of(path: Path, stated: TextFormat | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(path, stated=stated or TextFormat())
    return caught.value


def as_lists(table: Table) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in table.columns.items()}


CSV = [f'"{text}",{label}' for text, label in ROWS]


@pytest.mark.parametrize("above", [["Feedback report"], ["Feedback report", "", "Created: 2026-11-02,"]])
def test_a_title_above_the_column_names_is_a_fault_that_names_their_row(tmp_path: Path, above: list[str]):
    path = written(tmp_path / "a.csv", *above, "comment,mood", *CSV)
    error = fault_of(path)
    assert error.code == "DATA-080"
    assert error.hint == f"If it has: --header-row {len(above) + 1}."
    table = read_table(path, stated=TextFormat(header_row=len(above) + 1))
    assert as_lists(table) == COLUMNS
    assert table.place(0) == f"{path}:{len(above) + 2}"
    assert f"{path}: the column names are in line {len(above) + 1}." in table.notes


def test_a_text_a_line_below_a_usual_name_has_no_title(tmp_path: Path):
    """One comma in each of them makes no two columns."""
    path = written(tmp_path / "a.txt", "text", "good, or so", "bad, or so", "fine, or so")
    assert as_lists(read_table(path)) == {"text": ["good, or so", "bad, or so", "fine, or so"]}


@pytest.mark.parametrize("header", [",Kommentar", ",Kommentar,", '"",Kommentar'])
def test_the_index_of_pandas_beside_one_column_is_no_title(tmp_path: Path, header: str):
    end = "," * header.endswith(",")
    path = written(tmp_path / "a.csv", header, *[f"{row},Das ist gut{end}" for row in range(5)])
    assert as_lists(read_table(path)) == {"Kommentar": ["Das ist gut"] * 5}
    rows = [(None, "Kommentar"), *[(row, "Das ist gut") for row in range(5)]]
    assert as_lists(read_table(workbook(tmp_path / "a.xlsx", Data=rows))) == {"Kommentar": ["Das ist gut"] * 5}


def test_a_title_in_a_workbook(tmp_path: Path):
    path = workbook(tmp_path / "a.xlsx", Data=[("Guest reviews 2026",), (), ("comment", "mood"), *ROWS])
    error = fault_of(path)
    assert (error.code, error.hint) == ("DATA-080", "If it has: --header-row 3.")
    table = read_table(path, stated=TextFormat(header_row=3))
    assert as_lists(table) == COLUMNS
    assert table.place(0) == f"{path}:4"


def test_a_sheet_is_stated_by_its_name(tmp_path: Path):
    path = workbook(
        tmp_path / "a.xlsx", About=[("text", "label"), ("x", "y")], **{"My answers": [("comment", "mood"), *ROWS]}
    )
    first = read_table(path)
    assert as_lists(first) == {"text": ["x"], "label": ["y"]}
    assert first.notes == [f"{path}: the sheet About was read; others have rows too: --sheet 'My answers'."]
    assert as_lists(read_table(path, stated=TextFormat(sheet="My answers"))) == COLUMNS
    error = fault_of(path, TextFormat(sheet="My answer"))
    assert (error.code, error.hint) == ("DATA-081", 'Did you mean "My answers"? Sheets with rows: About, My answers.')


@pytest.mark.parametrize(
    ("name", "lines", "proposed"),
    [
        ("a.csv", [f'"{text}, {row}",{label}' for row in range(3) for text, label in ROWS], "text,label"),
        (
            "a.tsv",
            [f"s{row}\t{label}\t\t{text}, {row}" for row in range(3) for text, label in ROWS],
            "column1,label,column3,text",
        ),
    ],
)
def test_names_are_proposed_for_a_file_that_has_none(tmp_path: Path, name: str, lines: list[str], proposed: str):
    path = written(tmp_path / name, *lines)
    table = None
    try:
        table = read_table(path)
        hint = table.doubts[0].hint
    except DataError as error:
        hint = error.hint
    assert f"--column-names {proposed}." in hint
    stated = read_table(path, stated=TextFormat(column_names=tuple(proposed.split(","))))
    assert stated.columns["text"] == [f"{text}, {row}" for row in range(3) for text, _ in ROWS]
    assert stated.columns["label"] == [label for _, label in ROWS] * 3
    assert (stated.place(0), stated.doubts) == (f"{path}:1", [])


def test_names_are_not_proposed_where_the_first_row_has_some(tmp_path: Path):
    error = fault_of(written(tmp_path / "a.csv", "text,,label", "x,y,z", "x,y,z"))
    assert "--column-names" not in error.hint


def test_rows_with_more_cells_than_the_stated_names_are_faults(tmp_path: Path):
    path = written(tmp_path / "a.csv", "x,good,1", "y,bad,2")
    assert fault_of(path, TextFormat(column_names=("text", "label"))).code == "DATA-007"


def test_fewer_or_more_stated_names_than_a_workbook_has_columns_are_faults(tmp_path: Path):
    """Two names over three columns would shift them, and drop the labels."""
    path = workbook(tmp_path / "a.xlsx", Data=[(1, "good film here", "pos"), (2, "bad film", "neg"), (3, "fine", None)])
    error = fault_of(path, TextFormat(column_names=("text", "label")))
    assert error.code == "DATA-007"
    assert f"{path}:1: 3 cells, 2 columns" in str(error)
    assert f"{path}:2: 3 cells, 2 columns" in str(error)
    error = fault_of(path, TextFormat(column_names=("id", "text", "label", "more")))
    assert error.code == "DATA-007"
    assert "4 column names are stated, and no row has more than 3 cells" in str(error)
    table = read_table(path, stated=TextFormat(column_names=("id", "text", "label")))
    assert as_lists(table)["label"] == ["pos", "neg", None]


QUALTRICS = [
    "ResponseId,Q1,Q2", 'Response ID,"What did you\nthink?",Overall',
    '"{""ImportId"":""_recordId""}","{""ImportId"":""QID1_TEXT""}","{""ImportId"":""QID2""}"',
]  # fmt: skip


def test_the_rows_of_qualtrics_below_the_names_are_left_out_and_said(tmp_path: Path):
    path = written(tmp_path / "a.csv", *QUALTRICS, "R_1,fine,good", "R_2,awful,bad")
    table = read_table(path)
    assert as_lists(table) == {"ResponseId": ["R_1", "R_2"], "Q1": ["fine", "awful"], "Q2": ["good", "bad"]}
    assert table.place(0) == f"{path}:5"
    assert any("Qualtrics" in note for note in table.notes)


def test_the_first_answer_below_a_blank_row_of_qualtrics_is_kept(tmp_path: Path):
    ids = '"{""ImportId"":""QID1_TEXT""}","{""ImportId"":""QID2""}"'
    table = read_table(written(tmp_path / "a.csv", "Q1,Q2", ",", ids, "fine thing,1", "bad thing,2"))
    assert as_lists(table) == {"Q1": ["fine thing", "bad thing"], "Q2": ["1", "2"]}


def test_two_rows_of_names_of_surveymonkey_are_joined(tmp_path: Path):
    lines = [
        "Respondent ID,What did you think?,Overall?,What about?,,", ",Open-Ended Response,Response,Food,Price,Other",
        "118,fine,good,Food,,", "119,awful,bad,,Price,late",
    ]  # fmt: skip
    table = read_table(written(tmp_path / "a.csv", *lines))
    assert as_lists(table) == {
        "Respondent ID": ["118", "119"], "What did you think?": ["fine", "awful"], "Overall?": ["good", "bad"],
        "What about?: Food": ["Food", ""], "What about?: Price": ["", "Price"], "What about?: Other": ["", "late"],
    }  # fmt: skip
    assert table.place(0).endswith(":3")
    assert any("SurveyMonkey" in note for note in table.notes)


def test_what_is_stated_in_a_recipe():
    block = DataBlock(column_names="a,b", header_row=2, sheet="x", decimal="comma")
    assert (block.column_names, block.header_row) == (("a", "b"), 2)
    for wrong in ({"header_row": 0}, {"decimal": "dot"}, {"column_names": []}):
        with pytest.raises(RecipeError):
            parse_recipe({"data": wrong}, "here")


NUMBERED = [f"{number},A text of number {number},{('good', 'bad')[number % 2]}" for number in range(20)]
TITLES = ["Export", "created by,Sandra", "", "Export,,page 1"]


@pytest.mark.parametrize("titles", [TITLES[:1], TITLES[:2], TITLES[:3]], ids=len)
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_title_of_several_rows_may_have_several_cells(tmp_path: Path, titles: list[str], ending: str):
    lines = [*titles, "no,text,label", *NUMBERED]
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        path.write_text("\n".join([line + "," * (2 - line.count(",")) for line in lines]) + "\n", encoding="utf-8")
    else:
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for line in lines:
            book.active.append([cell or None for cell in line.split(",")])
        book.save(path)
    with pytest.raises(DataError, match="DATA-080") as caught:
        read_table(path)
    assert caught.value.hint == f"If it has: --header-row {len(titles) + 1}."
