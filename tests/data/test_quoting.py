"""Quotes in files: a tsv holds them as they stand, and a csv text that holds whole rows is warned of."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path

import pytest

from case_table import case
from lightune.data import quoting
from lightune.data.tables import Table, read_table
from lightune.faults import Fault

GLUE = "cells of a tsv are literal, as in the files of GLUE"
PLAIN = [(f"plain text {number}", ("neg", "pos")[number % 2]) for number in range(20)]


def read(path: Path, content: str) -> tuple[Table, list[Fault]]:
    path.write_text(content, encoding="utf-8", newline="")
    faults: list[Fault] = []
    return read_table(path, faults), faults


def lines(rows: list[tuple[str, ...]], separator: str = "\t", header: str = "text{}label") -> str:
    return "\n".join([header.format(separator), *(separator.join(row) for row in rows)]) + "\n"


def quoted(rows: list[tuple[str, ...]], **how: object) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n", **how).writerows([("text", "label"), *rows])
    return sink.getvalue()


def spoken(first: int, last: int) -> list[tuple[str, str]]:
    """Return rows of which one begins with a quote and a later one ends with one: a speech of several sentences."""
    rows = list(PLAIN)
    rows[first] = (f'"{rows[first][0]}', rows[first][1])
    rows[last] = (f'{rows[last][0]}"', rows[last][1])
    return rows


TSV = [
    pytest.param(spoken(8, 11), id="a speech", marks=case(
        "a tsv text begins with a quote, one three rows later ends with one",
        "17 of 20 rows, no word", "20 rows, quotes kept", GLUE)),
    pytest.param([*spoken(2, 6)[:10], *spoken(14, 18)[10:]], id="two speeches", marks=case(
        "two such speeches in a tsv", "12 of 20 rows, no word", "20 rows, quotes kept", GLUE)),
    pytest.param([*PLAIN, ('"Oh" she said', "pos")], id="a quoted word first", marks=case(
        'a tsv text that begins with a word in quotes: "Oh" she said', "DATA-005, not read",
        "the row is read as it stands", GLUE)),
    pytest.param([*PLAIN, ('"Oh', "pos")], id="never closed", marks=case(
        "a tsv text that begins with a quote which nothing closes", "DATA-005, not read",
        "the row is read as it stands", GLUE)),
    pytest.param([*PLAIN, ('"a whole text in quotes"', "pos")], id="in quotes", marks=case(
        "one tsv text of many stands in quotes as a whole", "the quotes are taken away, no word", "quotes kept", GLUE)),
    pytest.param([*PLAIN, ("back\\slash \\t \\", "pos")], id="backslashes"),
    pytest.param([*PLAIN, ('""', '"')], id="nothing but quotes"),
    pytest.param([*PLAIN, ('5" disk', 'a 3.5"')], id="inches"),
    pytest.param([*PLAIN, ("line\u2028separator\x0b\x0c\x1c\x85", "pos")], id="other line separators"),
]  # fmt: skip


@pytest.mark.parametrize("rows", TSV)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_cells_of_a_tsv_are_read_as_they_stand(tmp_path: Path, rows: list[tuple[str, str]], end: str):
    table, faults = read(tmp_path / "a.tsv", lines(rows).replace("\n", end))
    assert (faults, table.warnings, table.skipped) == ([], [], {})
    assert list(zip(*table.columns.values(), strict=True)) == rows
    assert list(table.lines) == list(range(2, len(rows) + 2))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param('"text"\t"label"', marks=case(
            "a tsv written with every cell in quotes", "read without quotes",
            "DATA-072: write it without quotes, or as .csv", "a column called \"text\" with quotes is none")),
        pytest.param('"text"\t"label"\t"id"', id="as R writes it"),
        pytest.param('"text"', id="one column"),
    ],
)  # fmt: skip
def test_a_tsv_whose_names_stand_in_quotes_is_refused(tmp_path: Path, header: str):
    row = "\t".join(f'"{cell}"' for cell in ("a text", "pos", "7")[: header.count("\t") + 1])
    _, faults = read(tmp_path / "a.tsv", f"{header}\n{row}\n")
    assert [(fault.code, fault.place) for fault in faults] == [("DATA-072", f"{tmp_path}/a.tsv:1")]
    assert "are in double quotes, and cells of a .tsv are literal" in faults[0].text
    assert ".csv" in faults[0].hint


@case("a tsv text with doubled quotes inside, as csv.writer puts it", "the quotes are undone, rightly so here",
      "read as it stands, and DATA-115 names the lines", "quotes that a reader cannot want are shown")  # fmt: skip
def test_a_tsv_cell_that_was_quoted_for_a_csv_is_warned_of(tmp_path: Path):
    said = [('He said "no"', "neg"), *PLAIN, ('"quoted" twice "over"', "pos")]
    table, faults = read(tmp_path / "a.tsv", quoted(said, delimiter="\t"))
    assert faults == []
    assert table.columns["text"][0] == '"He said ""no"""'
    [warning] = table.warnings
    assert (warning.code, warning.place) == ("DATA-115", f"{tmp_path}/a.tsv:2")
    assert warning.text.startswith("2 cells are in quotes")
    assert warning.text.endswith("lines 2, 23")


def test_many_quoted_cells_are_counted_and_the_first_lines_named(tmp_path: Path):
    table, _ = read(tmp_path / "a.tsv", quoted([('a "b" c', "pos")] * 13 + PLAIN, delimiter="\t"))
    assert table.warnings[0].text.startswith("13 cells are")
    assert table.warnings[0].text.endswith(f"lines {', '.join(map(str, range(2, 12)))} and more")


@case("a tsv of which one column stands in quotes throughout", "the quotes are taken away, no word",
      "quotes kept, and DATA-115 names the column", "the writer evidently quoted")  # fmt: skip
def test_a_tsv_column_that_stands_in_quotes_throughout_is_warned_of(tmp_path: Path):
    table, faults = read(tmp_path / "a.tsv", lines([(f'"{text}"', label) for text, label in PLAIN]))
    assert faults == []
    [warning] = table.warnings
    assert warning.code == "DATA-115"
    assert "every cell of text is in double quotes" in warning.text


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("a\ttab", marks=case(
            "a tsv text with a tab, in quotes", "read as one cell",
            "DATA-007, and the hint says that cells are literal", GLUE)),
        pytest.param("a\nline break", marks=case(
            "a tsv text with a line break, in quotes", "read as one cell",
            "DATA-007, and the hint says that cells are literal", GLUE)),
    ],
)  # fmt: skip
def test_a_quoted_tab_or_line_break_in_a_tsv_is_named(tmp_path: Path, cell: str):
    table, faults = read(tmp_path / "a.tsv", quoted([*PLAIN, (cell, "pos")], delimiter="\t"))
    assert [(fault.code, fault.place) for fault in faults] == [("DATA-007", f"{tmp_path}/a.tsv:22")]
    assert "literal" in faults[0].hint
    assert len(table) + table.skipped["cannot be read"] == 21 + ("\n" in cell)


SWALLOWED = [
    pytest.param(spoken(8, 11), [(10, 13, 3)], id="a speech", marks=case(
        "a csv text begins with a quote, one three rows later ends with one", "17 of 20 rows, no word",
        "17 rows, and DATA-114 names lines 10 to 13", "RFC 4180 reads it so; a person should look")),
    pytest.param([*spoken(2, 6)[:10], *spoken(14, 18)[10:]], [(4, 8, 4), (16, 20, 4)], id="two speeches", marks=case(
        "two such speeches in a csv", "12 of 20 rows, no word", "12 rows, one DATA-114 that names both", "as above")),
    pytest.param(spoken(0, 3), [(2, 5, 3)], id="before any label was seen", marks=case(
        "the very first csv text begins with a quote", "17 of 20 rows, no word", "DATA-114 for lines 2 to 5",
        "what is a label shows later in the file")),
    pytest.param([*PLAIN[:18], ('"the end', "pos"), ('of it"', "neg")], [(20, 21, 1)], id="one row", marks=case(
        "a csv text swallows one row, at the end of the file", "19 of 20 rows, no word", "DATA-114", "as above")),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "places"), SWALLOWED)
def test_a_csv_text_that_holds_whole_rows_is_warned_of(
    tmp_path: Path, rows: list[tuple[str, str]], places: list[tuple[int, int, int]]
):
    table, faults = read(tmp_path / "a.csv", lines(rows, ","))
    assert faults == []
    [warning] = table.warnings
    assert (warning.code, warning.place) == ("DATA-114", f"{tmp_path}/a.csv:{places[0][0]}")
    for first, last, count in places:
        one = f"continues to line {last}, and {count} of its lines "
        assert (f"lines {first} to {last} ({count})" if len(places) > 1 else one) in warning.text
    assert '"""' in warning.hint


@case(
    "a csv of split, text, label in which a text swallows rows", "no word", "DATA-114", "columns before the text count"
)
def test_further_columns_hide_no_swallowed_row(tmp_path: Path):
    rows = [(str(number), *row, "web") for number, row in enumerate(spoken(8, 11))]
    table, _ = read(tmp_path / "a.csv", lines(rows, ",", "id{0}text{0}label{0}source"))
    assert "4 of its lines read as rows" in table.warnings[0].text  # the last one too, by its number


@pytest.mark.parametrize(("header", "place"), [("id{0}text", 0), ("source{0}id{0}text", 1)])
@pytest.mark.parametrize("last", [9, 12])
@case("a csv of id and text, without labels, in which a text swallows rows", "no word", "DATA-114",
      "the numbers in the text go on from the row's own")  # fmt: skip
def test_numbers_that_go_on_tell_of_swallowed_rows(tmp_path: Path, header: str, place: int, last: int):
    rows = [("web", str(number + 1), text)[1 - place :] for number, (text, _) in enumerate(spoken(8, last))]
    table, _ = read(tmp_path / "a.csv", lines(rows, ",", header))
    [warning] = table.warnings
    assert (warning.code, warning.place) == ("DATA-114", f"{tmp_path}/a.csv:10")
    assert f"continues to line {last + 2}, and {last - 8} of its lines" in warning.text


@pytest.mark.parametrize("waiting", [0, 10_000])
def test_swallowed_rows_beyond_the_tenth_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int):
    monkeypatch.setattr(quoting, "ROWS_BEFORE_JUDGING", waiting)
    table, _ = read(tmp_path / "a.csv", lines([*PLAIN, *(row for _ in range(13) for row in spoken(8, 11))], ","))
    assert table.warnings[0].text.startswith("13 quoted texts hold lines that read as rows of their own")
    assert table.warnings[0].text.endswith("; and 3 more")


REVIEWS = {
    "line breaks and commas": "Nice, quiet place.\nThe food, though, was cold,\nand the staff, well, rude.",
    "a list": "Good:\n- soup\n- bread, fresh\n- tea, hot\nBad:\n- price",
    "figures": "Food, 5\nService, 4\nPrice, 3",
    "labels named": "It was pos,\nthen neg, then pos\nand again, neg\nend",
    "a paragraph that ends with a comma": "First,\nsecond,\n\nthird,\n",
    "an address": "12 High Street,\nCambridge, CB2\nEngland",
    "a poem": "Roses are red,\nviolets are blue, \nsugar is sweet,\nso are you",
    "a dialogue": '"Well," he said,\n"no." She left,\n"So?"',
    "code": "def f(a, b):\n    return a, b\n\nf(1, 2)",
    "numbers": "1, eggs\n2, flour\n3, milk",
    "windows": "one, two\r\nthree, four\r\nfive",
}


@pytest.mark.parametrize("name", REVIEWS)
@pytest.mark.parametrize("extra", ["", "train", "70"])
def test_a_text_of_several_lines_is_none_of_several_rows(tmp_path: Path, name: str, extra: str):
    """With a column before the text, and one behind that is mostly empty, too."""
    labels = itertools.cycle(["pos", "neg", "5"])
    rows = [(f"{REVIEWS[name]} {number}", label) for number, label in zip(range(30), labels, strict=False)]
    header = ("text", "label")
    if extra:
        header = ("split", "text", "label", "remark")
        rows = [(extra, *row, "" if number % 5 else "seen") for number, row in enumerate(rows)]
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([header, *rows])
    table, faults = read(tmp_path / "a.csv", sink.getvalue())
    assert (faults, table.warnings, len(table)) == ([], [], 30)


@case("a csv with a blank before its quotes", "quotes become part of the text, no word", "DATA-072 or DATA-115",
      "a quote counts only at the beginning of a cell")  # fmt: skip
@pytest.mark.parametrize(
    ("content", "code"),
    [('"text", "label"\n"a b", "neg"\n"c d", "pos"\n', "DATA-072"), ('text,label\na b, "neg"\nc d,pos\n', "DATA-115")],
)
def test_a_blank_before_a_quote_is_told(tmp_path, content, code):
    path, faults = tmp_path / "a.csv", []
    path.write_text(content, encoding="utf-8")
    table = read_table(path, faults)
    assert [seen.code for seen in [*faults, *table.warnings]] == [code]


@case("label,text: a quote that opens in one row and closes in the next", "a row of 4 is lost, no word", "DATA-114",
      "the line that ends the quote reads as a row, too")  # fmt: skip
def test_a_row_swallowed_by_the_row_before_it_is_told(tmp_path):
    path = tmp_path / "a.csv"
    rows = ['neg,"The film was dull', 'pos,The book was fine"', "neg,so long", "pos,so good", "neg,no", "pos,yes"]
    path.write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    (warning,) = read_table(path).warnings
    assert (warning.code, warning.place) == ("DATA-114", f"{path}:2")
    assert "reads as a row of its own" in warning.text


@case(
    "rows of commas alone at the end, as spreadsheets leave them",
    "DATA-013 for each",
    "blank lines",
    "nothing stands there",
)
def test_rows_of_blanks_are_blank_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\n,\nb,y\n,\n , \n", encoding="utf-8")
    table = read_table(path)
    assert (list(table.columns["text"]), table.skipped) == (["a", "b"], {"blank line": 1})
