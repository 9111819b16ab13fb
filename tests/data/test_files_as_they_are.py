"""Files as people have them: other separators, other encodings, packed; what was found is said."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

import pytest

from lightune.data import text_file
from lightune.data.encodings import looks_like, proposed
from lightune.data.separators import layout_of
from lightune.data.tables import Table, read_table
from lightune.data.text_file import TextFormat
from lightune.errors import DataError
from lightune.faults import Fault

ROWS = [("Schön, aber laut", "gut"), ("Zu spät; und kalt", "schlecht"), ("Die Küche | ganz neu", "gut")]
GERMAN = "Die Bedienung war schön langsam, und die Suppe kam zu spät.\n"
POLISH = "Bardzo dobre jedzenie, ale obsługa była niemiła i łazienka brudna.\n"
FRENCH = "Le café était très bon, mais le serveur n’a pas été aimable.\n"
RUSSIAN = "Очень вкусная еда, но обслуживание было медленным и грубым.\n"
JAPANESE = "料理はとても美味しかったですが、サービスが遅かったです。\n"


def table_text(mark: str, quoted: bool = True) -> str:
    rows = [("text", "label"), *ROWS]
    return "".join(mark.join(f'"{cell}"' if quoted and mark in cell else cell for cell in row) + "\n" for row in rows)


def put(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


def rows_of(table: Table) -> list[tuple[str, str]]:
    return list(zip(table.columns["text"], table.columns["label"], strict=True))


@pytest.mark.parametrize(("mark", "named"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_the_separator_is_taken_from_the_header_and_said(tmp_path: Path, mark: str, named: str, name: str):
    path = put(tmp_path / name, table_text(mark))
    table = read_table(path)
    assert rows_of(table) == ROWS
    usual = name == "a.txt" and mark == "\t"
    assert table.notes == ([] if usual else [f"{path}: the columns are separated by {named}."])


def test_commas_in_the_texts_of_a_csv_with_semicolons_are_no_columns(tmp_path: Path):
    """A header with a comma in a name, as spreadsheets in countries with decimal commas write it."""
    content = "Kommentar, frei;Note\n" + "".join(f"gut, schön, {row};2,{row}\n" for row in range(9))
    assert list(read_table(put(tmp_path / "a.csv", content)).columns) == ["Kommentar, frei", "Note"]


def test_empty_columns_at_the_end_are_none_as_spreadsheets_keep_them(tmp_path: Path):
    path = put(tmp_path / "a.csv", "text;label;;\nfine;pos;;\ndull;neg;;\n")
    assert read_table(path).columns == {"text": ["fine", "dull"], "label": ["pos", "neg"]}


def test_a_mark_in_the_only_name_that_the_rows_do_not_have_is_asked_about(tmp_path: Path):
    path = put(tmp_path / "a.csv", "pros;cons\n" + 'fine\n"dull, very"\n' * 5)
    with pytest.raises(DataError, match='only one column, called "pros;cons"') as caught:
        read_table(path)
    assert caught.value.hint == "If semicolons separate its columns: --separator ';'."


def test_the_first_line_of_excel_names_the_separator_and_is_no_header(tmp_path: Path):
    path = put(tmp_path / "a.csv", "sep=;\r\ntext;label\r\nfine;pos\r\n")
    table = read_table(path)
    assert table.columns == {"text": ["fine"], "label": ["pos"]}
    assert table.place(0) == f"{path}:3"


def test_a_stated_separator_is_taken_whatever_the_header_says(tmp_path: Path):
    path = put(tmp_path / "a.csv", "text#label,x\nfine, really#pos\n")
    assert read_table(path, stated=TextFormat("#")).columns == {"text": ["fine, really"], "label,x": ["pos"]}


def test_the_cells_of_a_tsv_stay_literal_and_those_of_other_tables_do_not(tmp_path: Path):
    content = 'text\tlabel\n"fine"\tpos\n'
    assert list(read_table(put(tmp_path / "a.tsv", content)).columns["text"]) == ['"fine"']
    assert list(read_table(put(tmp_path / "a.csv", content)).columns["text"]) == ["fine"]


@pytest.mark.parametrize("mark", list(",;\t|"))
def test_a_layout_is_found_for_every_mark_in_quoted_rows(mark: str):
    assert layout_of("csv", table_text(mark).splitlines(keepends=True)).separator == mark


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_utf16_with_its_mark_is_read_at_once(tmp_path: Path, encoding: str, name: str):
    """Excel's "Unicode text" is UTF-16 with tabs."""
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    path = put(tmp_path / name, mark + table_text("\t").replace("\n", "\r\n").encode(encoding))
    table = read_table(path)
    assert rows_of(table) == ROWS
    assert any("which its first bytes state" in note for note in table.notes)


@pytest.mark.parametrize(
    ("text", "encoding", "first"),
    [
        (GERMAN, "cp1252", "cp1252"),
        (GERMAN, "latin1", "cp1252"),
        (FRENCH, "cp1252", "cp1252"),
        (POLISH, "cp1250", None),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8_r"),
        (JAPANESE, "shift_jis", "cp932"),
    ],
)
def test_one_of_the_proposed_encodings_reads_the_bytes_as_they_were_written(
    text: str, encoding: str, first: str | None
):
    """Encodings of one family differ in a few letters: Polish in cp1250 reads as clean text in cp1252 too."""
    sample = (text * 20).encode(encoding)
    names = looks_like(sample)
    assert text * 20 in [sample.decode(name) for name in names]
    assert first in (None, names[0])


def test_where_several_encodings_fit_the_reader_sees_how_a_word_reads_in_each():
    hint = proposed((POLISH * 20).encode("cp1250"))
    assert (
        hint == 'It looks like cp1252 ("obs³uga"), or cp1250 ("obsługa"): pass --encoding cp1252 if that reads right.'
    )


def test_a_file_in_another_encoding_has_one_fault_with_its_remedy(tmp_path: Path):
    path = put(tmp_path / "a.csv", "text,label\n" + f"{GERMAN[:-1].replace(',', '')},gut\n" * 30, "cp1252")
    faults: list[Fault] = []
    table = read_table(path, faults)
    assert not table.columns
    assert [(fault.code, fault.place) for fault in faults] == [("DATA-003", f"{path}:2")]
    assert "this line and 29 more are not UTF-8" in faults[0].text
    assert faults[0].hint == 'It looks like cp1252 ("schön"): pass --encoding cp1252.'
    read = read_table(path, stated=TextFormat(encoding="cp1252"))
    assert set(read.columns["text"]) == {GERMAN[:-1].replace(",", "")}


def test_a_few_spoilt_lines_of_a_utf8_file_are_named_one_by_one(tmp_path: Path):
    lines = ["text,label\n", "schön,gut\n", "spät,gut\n", "kühl,gut\n"]
    path = put(tmp_path / "a.csv", "".join(lines).encode() + "Maß,gut\n".encode("cp1252"))
    faults: list[Fault] = []
    assert len(read_table(path, faults)) == 3
    assert [(fault.code, fault.place) for fault in faults] == [("DATA-003", f"{path}:5")]


def test_a_stated_encoding_is_for_files_that_are_not_utf8(tmp_path: Path):
    path = put(tmp_path / "a.csv", table_text(","))
    table = read_table(path, stated=TextFormat(encoding="cp1252"))
    assert rows_of(table) == ROWS
    assert table.notes == [f"{path}: it is UTF-8 and read as such, not as cp1252."]


def test_utf16_without_its_mark_is_proposed(tmp_path: Path):
    path = put(tmp_path / "a.csv", table_text(","), "utf-16-le")
    with pytest.raises(DataError, match="without a mark") as caught:
        read_table(path)
    assert caught.value.hint == "Pass --encoding utf-16le."
    assert rows_of(read_table(path, stated=TextFormat(encoding="utf-16le"))) == ROWS


def test_a_cut_utf16_file_is_a_fault_and_no_traceback(tmp_path: Path):
    path = put(tmp_path / "a.csv", table_text(",").encode("utf-16") + b"\xd8")
    with pytest.raises(DataError, match="cannot be read as UTF-16"):
        read_table(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_packed_files_are_read_as_what_they_hold(tmp_path: Path, kind: str):
    lines = {"csv": table_text(","), "tsv": table_text("\t", quoted=False), "jsonl": '{"text": "schön"}\n'}
    path = put(tmp_path / f"a.{kind}.gz", gzip.compress(lines[kind].encode()))
    plain = put(tmp_path / f"b.{kind}", lines[kind])
    assert read_table(path).columns == read_table(plain).columns


def test_a_packed_file_has_a_bound_on_what_it_unpacks_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text_file, "MOST_UNPACKED", 100_000)
    path = put(tmp_path / "a.csv.gz", gzip.compress(b"text,label\n" + b"a,b\n" * 100_000))
    assert path.stat().st_size < 2000
    with pytest.raises(DataError, match="unpacks to more than") as caught:
        read_table(path)
    assert caught.value.code == "DATA-074"


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: b"text,label\n", lambda packed: b""])
def test_a_damaged_packed_file_is_a_fault(tmp_path: Path, damage):
    path = put(tmp_path / "a.csv.gz", damage(gzip.compress(table_text(",").encode() * 200)))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code in ("DATA-075", "DATA-006")
