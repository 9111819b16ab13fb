"""Lazy columns against the lists they stand for, in memory and mapped from disk."""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lightune.data import arrow_columns as storage
from lightune.data.arrow_columns import Chained, Column, Store
from lightune.data.tables import read_table

VALUES = ["a", None, "", "ümlaut — 字", "e", "f", "g"]


def stored(on_disk: bool, *batches: dict[str, list[Any]]) -> dict[str, Column]:
    store = Store(on_disk)
    for batch in batches:
        store.add(pa.record_batch({name: pa.array(values) for name, values in batch.items()}))
    return store.columns()


@cache
def sequences() -> dict[str, Sequence[Any]]:
    """The same values in every kind of sequence."""
    parts = [{"x": VALUES[:3]}, {"x": VALUES[3:]}]
    cells = pa.array([None if value is None else json.dumps(value) for value in VALUES])
    return {
        "memory": stored(False, *parts)["x"],
        "disk": stored(True, *parts)["x"],
        "json": Column(pa.chunked_array([cells]), json.loads),
        "chained": Chained([VALUES[:2], stored(True, {"x": VALUES[2:4]})["x"], [], tuple(VALUES[4:])]),
    }


@pytest.mark.parametrize("kind", ["memory", "disk", "json", "chained"])
@settings(max_examples=50)
@given(place=st.one_of(st.slices(len(VALUES)), st.integers(-9, 9)))
def test_a_lazy_sequence_is_indexed_as_the_list_is(kind: str, place: int | slice):
    sequence = sequences()[kind]
    try:
        expected = VALUES[place]
    except IndexError:
        with pytest.raises(IndexError):
            sequence[place]
    else:
        assert sequence[place] == expected


@pytest.mark.parametrize("kind", ["memory", "disk", "json", "chained"])
def test_a_lazy_sequence_is_gone_through_and_compared_as_the_list_is(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage, "CHUNK_ROWS", 3)
    sequence = sequences()[kind]
    assert list(sequence) == list(reversed(list(reversed(sequence)))) == VALUES
    assert sequence == VALUES
    assert sequence != [*VALUES[:-1], "x"]
    assert sequence != VALUES[:-1]
    assert len(sequence) == 7


def test_no_values_are_an_empty_sequence():
    assert list(Chained([])) == list(Chained([[], []])) == []
    assert stored(True) == stored(False) == {}


def test_arrays_of_lines_are_chained():
    lines = Chained([array("q", [2, 3]), range(1, 4)])
    assert list(lines) == [2, 3, 1, 2, 3]
    assert lines[1:3] == [3, 1]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_column_that_comes_later_is_missing_before(on_disk: bool):
    found = stored(on_disk, {"a": ["x"]}, {"a": ["y"], "b": ["z"]}, {"b": ["w"], "c": ["v"]})
    assert found == {"a": ["x", "y", None], "b": [None, "z", "w"], "c": [None, None, "v"]}


def test_cells_that_were_given_back_are_read_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage, "IN_MEMORY_BYTES", 1000)
    values = [f"text {row}" * 20 for row in range(5000)]
    column = stored(True, {"x": values})["x"]
    assert [list(column) for _ in range(3)] == [values] * 3
    assert [column[row] for row in (0, 4999, 2500)] == [values[row] for row in (0, 4999, 2500)]


ODD = [None, 1, "x", {"a": [3]}]
ROWS = [{"text": f"row {row} — 字", "label": row % 3, "odd": ODD[row % 4]} for row in range(60)]


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        plain = {"text": [row["text"] for row in ROWS], "label": [row["label"] for row in ROWS]}
        parquet.write_table(pa.table({**plain, "odd": [row["label"] / 2 for row in ROWS]}), path, row_group_size=7)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    else:
        path.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_large_file_lies_on_disk_reads_the_same_and_leaves_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / name)
    small = read_table(path)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for module in ("tables", "parquet_file"):
        monkeypatch.setattr(f"lightune.data.{module}.IN_MEMORY_BYTES", 10)
    monkeypatch.setattr("lightune.data.csv_file.BATCH_ROWS", 7)
    made = []
    monkeypatch.setattr(storage, "nameless_file", lambda make=storage.nameless_file: made.append(1) or make())
    large = read_table(path)
    assert made
    assert large.columns == small.columns
    assert list(large.lines) == list(small.lines)
    if os.name == "posix":
        assert not list(folder.iterdir())  # while the table is still in use: so nothing can be left behind


def test_values_keep_their_types(tmp_path: Path):
    assert read_table(write(tmp_path / "a.jsonl")).columns["odd"][:4] == ODD
    label = read_table(write(tmp_path / "a.parquet")).columns["label"]
    assert [type(value) for value in label[:2]] == [int, int]
    assert list(read_table(write(tmp_path / "a.csv")).columns["label"][:2]) == ["0", "1"]


def test_booleans_big_numbers_and_half_characters_survive_json_lines(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": true, "b": 123456789012345678901234567890, "c": "\\ud800", "d": 1.0}\n')
    row = {name: values[0] for name, values in read_table(path).columns.items()}
    assert row == {"a": True, "b": 123456789012345678901234567890, "c": "\ud800", "d": 1.0}
    assert [type(value) for value in row.values()] == [bool, int, str, float]


def test_texts_that_parquet_holds_as_bytes_are_texts_and_other_bytes_stay(tmp_path: Path):
    path = tmp_path / "a.parquet"
    columns = {
        "text": pa.array(["é".encode(), b"x"]),
        "picture": pa.array([b"\x89PNG", b"\xff"]),
        "label": pa.array([0, 1]),
    }
    parquet.write_table(pa.table(columns), path)
    assert read_table(path).columns == {"text": ["é", "x"], "picture": [b"\x89PNG", b"\xff"], "label": [0, 1]}


def test_dates_that_python_cannot_hold_are_texts(tmp_path: Path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["x"], "when": pa.array([10**15], pa.timestamp("ms"))}), path)
    assert read_table(path).columns["when"] == ["<value out of range: 1000000000000000>"]
