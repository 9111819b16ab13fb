"""Whole files in, whole files out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import lightune
from lightune.errors import DataError
from lightune.inference import bulk
from lightune.inference.bulk import answered_rows, write_rows
from lightune.progress import Silent
from tiny import sentences, write_csv

TEXTS = [text for text, _ in sentences(6, seed=31)]


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return lightune.load(tiny_run.folder)


def _raw(tmp_path: Path, content: str, name: str = "in.csv") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    return path


def test_the_columns_of_a_csv_come_back_with_two_more(classifier, tmp_path):
    rows = [("7", "a, quoted", TEXTS[0]), ("8", 'with "quotes"\nand a line', TEXTS[1]), ("9", "", TEXTS[2])]
    source = write_csv(tmp_path / "in.csv", rows, header=("id", "remark", "text"))
    assert write_rows(answered_rows(classifier, source), tmp_path / "out.csv") == 3
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["id", "remark", "text", "prediction", "confidence"]
    assert [tuple(row[:3]) for row in found] == rows
    for row, answer in zip(found, classifier.predict(TEXTS[:3]), strict=True):
        assert row[3] == answer.label
        assert float(row[4]) == pytest.approx(answer.confidence, abs=1e-5)


def test_rows_keep_their_order_over_many_chunks(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 4)
    rows = sentences(10, seed=12)
    source = write_csv(tmp_path / "in.csv", rows)
    _, *found = answered_rows(classifier, source)
    assert [row[0] for row in found] == [text for text, _ in rows]
    assert [row[2] for row in found] == [answer.label for answer in classifier.predict([text for text, _ in rows])]


def test_a_tsv_is_split_at_tabs(classifier, tmp_path):
    source = _raw(tmp_path, f"id\ttext\n1\t{TEXTS[0]}, and more\n", "in.TSV")
    header, row = answered_rows(classifier, source)
    assert (header[:2], row[:2]) == (["id", "text"], ["1", f"{TEXTS[0]}, and more"])


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_cells(classifier, tmp_path):
    source = _raw(tmp_path, f"\ufefftext,id\r\n{TEXTS[0]},1\r\n")
    header, row = answered_rows(classifier, source)
    assert (header[:2], row[:2]) == (["text", "id"], [TEXTS[0], "1"])


@pytest.mark.parametrize(("header", "column"), [("review,stars", 0), ("stars, Sentence", 1), ("comment", 0)])
def test_another_text_column_is_found_by_its_usual_name(classifier, tmp_path, header, column):
    cells = ["5"] * len(header.split(","))
    cells[column] = TEXTS[0]
    _, row = answered_rows(classifier, _raw(tmp_path, f"{header}\n{','.join(cells)}\n"))
    assert row[-2] == classifier.predict(TEXTS[0])[0].label


def test_a_column_that_was_guessed_is_told(classifier, tmp_path):
    class Listener(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    source = _raw(tmp_path, "review,stars\nlovely film,5\n")
    guessing, stated = Listener(), Listener()
    list(answered_rows(classifier, source, reporter=guessing))
    list(answered_rows(classifier, source, "review", stated))
    assert guessing.notes == ["Columns taken by name: text = review."]
    assert stated.notes == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [("in.jsonl", '{"text": "a film"}\n', "only csv and tsv"), ("in.csv", "text;label\ngood;yes\n", "semicolons")],
)
def test_what_is_no_csv_is_refused_and_not_classified(classifier, tmp_path, name, text, told):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as refused:
        list(answered_rows(classifier, tmp_path / name))
    assert told in str(refused.value)


def test_a_named_column_wins_over_the_usual_one(classifier, tmp_path):
    source = _raw(tmp_path, "text,other\n,lovely film\n")
    assert len(list(answered_rows(classifier, source, "other"))) == 2


def test_a_misspelt_text_column_is_refused_with_the_closest_name(classifier, tmp_path):
    with pytest.raises(DataError) as caught:
        list(answered_rows(classifier, _raw(tmp_path, "revjew,stars\na,b\n"), "review"))
    assert caught.value.code == "DATA-024"
    assert 'Did you mean "revjew"?' in caught.value.hint


@pytest.mark.parametrize(
    ("content", "line", "code"),
    [
        ("text,id\nfine film,1\nfine film\nfine film,3\n", 3, "DATA-007"),
        ("text,id\nfine film,1\n\nfine film,2,3\n", 4, "DATA-007"),
        ("text,id\nfine film,1\n   ,2\n", 3, "DATA-040"),
        ('text,id\n"two\nlines",1\n"",2\n', 4, "DATA-040"),
        ('text,id\nfine film,1\n"broken"quote,2\n', 3, "DATA-005"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(classifier, tmp_path, content, line, code):
    source = _raw(tmp_path, content)
    with pytest.raises(DataError) as caught:
        list(answered_rows(classifier, source))
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{source}:{line}:")


def test_a_file_that_is_not_utf8_is_refused(classifier, tmp_path):
    source = tmp_path / "latin.csv"
    source.write_bytes("text\nun café\n".encode("latin1"))
    with pytest.raises(DataError, match=r"latin\.csv:2.*UTF-8") as caught:
        list(answered_rows(classifier, source))
    assert caught.value.code == "DATA-003"


def test_a_missing_and_an_empty_file_are_refused(classifier, tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        list(answered_rows(classifier, tmp_path / "nowhere.csv"))
    with pytest.raises(DataError, match="there are no column names"):
        list(answered_rows(classifier, _raw(tmp_path, "")))


def test_a_file_with_a_header_alone_has_no_answers(classifier, tmp_path):
    assert list(answered_rows(classifier, _raw(tmp_path, "text,id\n"))) == [["text", "id", "prediction", "confidence"]]


def test_a_fault_half_way_leaves_no_output(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 2)
    source = _raw(tmp_path, "text,id\nfine film,1\ndull film,2\nfine book,3\nbroken\n")
    with pytest.raises(DataError):
        write_rows(answered_rows(classifier, source), tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]
