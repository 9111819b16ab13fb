"""Whole files in, whole files out."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

import lightune
from case_table import case
from lightune.data.columns import text_columns
from lightune.data.names import clean_name
from lightune.data.tables import read_table
from lightune.errors import DataError
from lightune.inference import bulk
from lightune.inference.answer_files import write_rows
from lightune.inference.bulk import FileWishes, Tally, answered_rows
from lightune.inference.file_columns import file_columns
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
    source = _raw(tmp_path, "review,stars\nlovely film,5\n")
    guessing, stated = Listener(), Listener()
    list(answered_rows(classifier, source, reporter=guessing))
    list(answered_rows(classifier, source, FileWishes("review"), stated))
    assert guessing.notes == ["Columns guessed: text = review."]
    assert stated.notes == []


def test_a_named_column_wins_over_the_usual_one(classifier, tmp_path):
    source = _raw(tmp_path, "text,other\n,lovely film\n")
    assert len(list(answered_rows(classifier, source, FileWishes("other")))) == 2


def test_a_misspelt_text_column_is_refused_with_the_closest_name(classifier, tmp_path):
    with pytest.raises(DataError) as caught:
        list(answered_rows(classifier, _raw(tmp_path, "revjew,stars\na,b\n"), FileWishes("review")))
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


class Listener(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def refused(classifier, source: Path, text_column: str | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        list(answered_rows(classifier, source, FileWishes(text_column)))
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "code", "told"),
    [
        pytest.param("in.csv", "lovely book,neg\nsoup,pos\nlamp,neg\nchair,pos\nfilm,neg\n", "DATA-006", "like data",
                     marks=case(
            "predict --file with a headerless file of short texts",
            "DATA-024; with --text-column \"lovely book\" the first text got no answer", "DATA-006", "as in check")),
        pytest.param("in.csv", "text,id,text\na,b,c\n", "DATA-006", '2 columns are called "text"', marks=case(
            "predict --file with two columns called text", "the first was taken, no word", "DATA-006", "as in check")),
        pytest.param("in.csv", "text,id\na,1\ntext,id\nb,2\n", "DATA-070", "column names are repeated here", marks=case(
            "predict --file of joined files, the names inside again", "the names were classified, no word", "DATA-070",
            "as in check")),
        pytest.param("in.tsv", '"text"\t"id"\n"a"\t"1"\n', "DATA-072", "in double quotes", marks=case(
            "predict --file with a tsv of quoted names", "read without quotes", "DATA-072", "as in check")),
        pytest.param("in.csv", "great,5\ngood,4\nbad,1\n", "DATA-006", "looks like data", id="numbers"),
        pytest.param("in.csv", "text,id\na\0b,1\n", "DATA-060", "NUL byte", id="NUL"),
    ],
)  # fmt: skip
def test_what_check_refuses_is_not_classified(classifier, tmp_path, name, content, code, told):
    error = refused(classifier, _raw(tmp_path, content, name))
    assert error.code == code
    assert told in error.message


def test_a_spreadsheet_under_another_name_is_refused_as_such(classifier, tmp_path):
    (tmp_path / "in.csv").write_bytes(b"PK\x03\x04" + b"xl/workbook.xml" + b"\0" * 40)
    assert refused(classifier, tmp_path / "in.csv").code == "DATA-062"


@case("predict --file with a tsv in which a text begins with a quote and a later one ends with one",
      "1 answer for 4 rows, no word", "4 answers, quotes kept", "cells of a tsv are literal")  # fmt: skip
def test_a_quote_in_a_tsv_swallows_no_row(classifier, tmp_path):
    texts = ['"lovely film', "dull book", "warm soup", 'moving plot"']
    source = _raw(tmp_path, "text\tid\n" + "".join(f"{text}\t{row}\n" for row, text in enumerate(texts)), "in.tsv")
    _, *found = answered_rows(classifier, source)
    assert [row[0] for row in found] == texts


@case("predict --file with a csv in which a text swallows rows", "4 answers for 6 rows, no word",
      "DATA-114 on stderr before the answers", "as in check")  # fmt: skip
def test_swallowed_rows_are_told_before_the_first_answer(classifier, tmp_path):
    rows = [
        "fine film,web",
        '"dull book,web',
        "warm soup,shop",
        'moving plot",web',
        "cold lamp,shop",
        "rude waiter,shop",
    ]
    listener, tally = Listener(), Tally()
    found = answered_rows(classifier, _raw(tmp_path, "\n".join(["text,kind", *rows])), None, listener, tally)
    next(found)
    assert [note.split(": ")[0] for note in listener.notes] == [f"DATA-114 {tmp_path}/in.csv:3"]
    assert "continues to line 5, and 2 of its lines read as rows" in listener.notes[0]
    assert len(list(found)) == tally.rows_in == 4


@case("predict --file with blank lines between rows", "skipped without a word", "said, and counted in rows_dropped",
      "rows_in = rows_answered + rows_dropped")  # fmt: skip
def test_every_row_is_answered_or_counted(classifier, tmp_path):
    listener, tally = Listener(), Tally()
    source = _raw(tmp_path, "text,id\n\nfine film,1\n\n\ndull film,2\n\n")
    assert len(list(answered_rows(classifier, source, None, listener, tally))) == 3
    assert tally == Tally(5, 2, {"blank line": 3})
    assert listener.notes == [f"{source}: 3 blank lines were skipped."]


def test_all_faults_are_told_at_once_and_before_any_answer(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "logits", None)
    rows = "".join(f"fine film,{row}\n" for row in range(5000))
    error = refused(classifier, _raw(tmp_path, f"text,id\n ,1\n{rows}alone\n,2\n"))
    assert error.message.startswith("3 faults:")
    for line, told in ((2, "the text is empty"), (5003, "1 cells, 2 columns"), (5004, "the text is empty")):
        assert f"{tmp_path}/in.csv:{line}: {told}" in error.message


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        pytest.param("Title,Review", "Review", marks=case(
            "predict --file with the columns Title and Review", "Title, while evaluate took Review", "Review",
            "one rule for check, run, evaluate and predict")),
        pytest.param("question,body", "body", marks=case(
            "predict --file with the columns question and body", "question, while evaluate took body", "body",
            "one rule for check, run, evaluate and predict")),
        pytest.param("title,TEXT", "TEXT", id="case"),
        pytest.param("id,\u200btext", "text", marks=case(
            "predict --file with a zero-width space in the name text", "DATA-024", "the column text",
            "what cannot be seen cannot be typed")),
        pytest.param("number,essay", "essay", marks=case(
            "predict --file with no usual name for the text", "DATA-024, while evaluate took the wordy column",
            "the wordy column, with a note", "one rule for check, run, evaluate and predict")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_the_text_column_is_the_one_that_evaluate_takes(classifier, tmp_path, name, header, taken):
    names = [clean_name(name) for name in header.split(",")]
    rows = [(TEXTS[row] if names[0] == taken else f"{row}", TEXTS[row] if names[1] == taken else f"{row}")
            for row in range(4)]  # fmt: skip
    mark = "," if name == "in.csv" else "\t"
    source = _raw(tmp_path, "".join(mark.join(row) + "\n" for row in [header.split(","), *rows]), name)
    listener = Listener()
    _, *found = answered_rows(classifier, source, None, listener)
    assert [row[-2] for row in found] == [answer.label for answer in classifier.predict(TEXTS[:4])]
    assert listener.notes == ([] if taken == "text" else [f"Columns guessed: text = {taken}."])
    assert file_columns(classifier, read_table(source))[0] == text_columns(read_table(source), None)[0] == [taken]


@pytest.fixture
def of_pairs(classifier, monkeypatch):
    """The same classifier, as if it had been trained on pairs."""
    signature = replace(classifier.signature, text_columns=["premise", "hypothesis"])
    monkeypatch.setattr(classifier, "signature", signature)
    return classifier


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        pytest.param("premise,hypothesis,id", None, id="as in training"),
        pytest.param("hypothesis,premise ,id", None, id="in another order"),
        pytest.param("sentence1,sentence2,id", "sentence1,sentence2", marks=case(
            "predict --file with a pair of other names, for a classifier of pairs", "DATA-024: no way to name a pair",
            "--text-column sentence1,sentence2", "a pair needs two names")),
        pytest.param("sentence1,sentence2,id", " sentence1 , sentence2 ", id="blanks in the wish"),
    ],
)  # fmt: skip
def test_a_pair_is_taken_from_its_columns(of_pairs, tmp_path, header, wanted):
    source = _raw(tmp_path, f"{header}\n" + "".join(f"{TEXTS[row]},{TEXTS[row + 1]},{row}\n" for row in range(3)))
    pairs = [(TEXTS[row], TEXTS[row + 1]) for row in range(3)]
    pairs = [(second, first) for first, second in pairs] if header.startswith("hyp") else pairs
    _, *found = answered_rows(of_pairs, source, FileWishes(wanted))
    assert [row[-2] for row in found] == [answer.label for answer in of_pairs.predict(pairs)]
    assert [float(row[-1]) for row in found] == pytest.approx(
        [answer.confidence for answer in of_pairs.predict(pairs)], abs=1e-5
    )


@pytest.mark.parametrize("wanted", ["sentence1", None])
@case("predict --file with one text column, for a classifier of pairs", "DATA-041: text 1 has 1 part",
      "DATA-041 with the names of the columns", "says what to name")  # fmt: skip
def test_one_text_for_a_classifier_of_pairs_is_refused_with_the_columns(of_pairs, tmp_path, wanted):
    error = refused(of_pairs, _raw(tmp_path, "sentence1,essay\na,b\n" if wanted else "text,id\na,b\n"), wanted)
    assert error.code == "DATA-041"
    assert f"column {wanted or 'text'} holds one text" in error.message
    assert "takes a pair of texts (premise, hypothesis)" in error.message
    assert "--text-column FIRST,SECOND" in error.hint


def test_a_pair_for_a_classifier_of_one_text_is_refused_with_the_columns(classifier, tmp_path):
    source = _raw(tmp_path, "premise,hypothesis,id\na,b,1\n")
    for wanted in (None, "premise,hypothesis"):
        error = refused(classifier, source, wanted)
        assert error.code == "DATA-041"
        assert (
            "columns premise and hypothesis hold a pair of texts; this classifier takes one text (text)"
            in error.message
        )
        assert "--text-column COLUMN" in error.hint


def test_a_column_whose_name_holds_a_comma_is_one_column(classifier, tmp_path):
    source = _raw(tmp_path, f'"what, exactly",id\n{TEXTS[0]},1\n')
    assert len(list(answered_rows(classifier, source, FileWishes("what, exactly")))) == 2


def test_a_name_that_was_trained_with_a_space_is_found_without_it(classifier, tmp_path, monkeypatch):
    trained = replace(classifier.signature, text_columns=[clean_name("Remark ")])  # as loading a run does
    monkeypatch.setattr(classifier, "signature", trained)
    listener = Listener()
    assert len(list(answered_rows(classifier, _raw(tmp_path, "id,Remark \n1,fine film\n"), None, listener))) == 2
    assert listener.notes == []


def test_pandas_index_stays_in_the_rows(classifier, tmp_path):
    """It is no text and no label, and answers are matched with it."""
    path = tmp_path / "a.csv"
    path.write_text(",text\n17,a good one\n4,a bad one\n", encoding="utf-8")
    header, *rows = answered_rows(classifier, path)
    assert header[:2] == ["", "text"]
    assert [row[:2] for row in rows] == [["17", "a good one"], ["4", "a bad one"]]


def test_the_index_of_pandas_beside_the_only_text_is_no_title(classifier, tmp_path):
    source = _raw(tmp_path, ",Kommentar\n" + "".join(f"{row},{text}\n" for row, text in enumerate(TEXTS)))
    header, *found = answered_rows(classifier, source, FileWishes(text_column="Kommentar"))
    assert header[:2] == ["", "Kommentar"]
    assert [row[1] for row in found] == TEXTS


def test_fields_inside_objects_are_no_columns_of_the_answers(classifier, tmp_path):
    rows = [{"id": row, "review": {"body": text, "lang": "en"}} for row, text in enumerate(TEXTS)]
    source = _raw(tmp_path, "".join(f"{json.dumps(row)}\n" for row in rows), "in.jsonl")
    header, *found = answered_rows(classifier, source, FileWishes(text_column="review.body"))
    assert header == ["id", "review", "prediction", "confidence"]
    assert [row[:2] for row in found] == [[row["id"], row["review"]] for row in rows]
    assert [row[2] for row in found] == [answer.label for answer in classifier.predict(TEXTS)]
