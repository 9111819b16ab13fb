"""Parquet in the types that other programs write."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from case_table import case
from lightune.data import arrow_columns as storage
from lightune.data import parquet_file
from lightune.data.parquet_pages import UNPACKED, _Header, _headers
from lightune.data.tables import Table, read_table
from lightune.faults import Fault

UNREADABLE = "DATA-009: said to be damaged"


def read(path: Path) -> tuple[Table, list[Fault]]:
    faults: list[Fault] = []
    return read_table(path, faults), faults


def categories(values: list[Any], known: list[Any], kind: pa.DataType) -> pa.Array:
    indices = pa.array([known.index(value) for value in values], pa.int8())
    return pa.DictionaryArray.from_arrays(indices, pa.array(known, kind))


def write_chunks(path: Path, *chunks: dict[str, pa.Array]) -> Path:
    """Write each chunk as a row group of its own, with its own categories."""
    with parquet.ParquetWriter(path, pa.table(chunks[0]).schema) as writer:
        for chunk in chunks:
            writer.write_table(pa.table(chunk))
    return path


@pytest.fixture(params=[False, True], ids=["in memory", "on disk"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are taken for large ones, too."""
    if request.param:
        monkeypatch.setattr(parquet_file, "IN_MEMORY_BYTES", 1)


def chunked(given: str) -> pytest.MarkDecorator:
    return case(f"a Parquet file with {given}, others in each chunk", UNREADABLE, "read", "it is valid Parquet")


WORDS = ["neg", "pos", "so"]


def same(value: Any) -> Any:
    return value


def as_list(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(range(len(values) + 1), pa.int32()), values)


def as_struct(values: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays([values], ["kind"])


KINDS = [
    pytest.param(pa.string(), same, same, id="string", marks=chunked("over 64 MB of categories")),
    pytest.param(pa.large_string(), same, same, id="large_string"),
    pytest.param(pa.binary(), same, same, id="binary", marks=chunked("over 64 MB of categories in bytes")),
    pytest.param(pa.string(), as_list, lambda value: [value], id="list", marks=chunked("lists of categories")),
    pytest.param(pa.string(), as_struct, lambda value: {"kind": value}, id="struct", marks=chunked("structs of them")),
    pytest.param(pa.int64(), same, WORDS.index, id="int64"),
]  # fmt: skip


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(("kind", "wrap", "read_as"), KINDS)
def test_categories_may_differ_from_chunk_to_chunk(tmp_path: Path, kind: pa.DataType, wrap: Any, read_as: Any):
    values = {0: ["neg", "pos"], 1: ["pos", "pos", "neg"], 2: ["so", "so"]}
    known = {0: ["neg", "pos"], 1: ["pos", "neg"], 2: ["so"]}
    held = {pa.int64(): WORDS.index, pa.binary(): str.encode}.get(kind, same)
    chunks = []
    for number, cells in values.items():
        found = categories(list(map(held, cells)), list(map(held, known[number])), kind)
        chunks.append({"text": pa.array(cells), "label": wrap(found)})
    table, faults = read(write_chunks(tmp_path / "a.parquet", *chunks))
    assert faults == []
    assert table.columns["label"] == [read_as(value) for cells in values.values() for value in cells]
    assert list(table.lines) == list(range(1, 8))


TEXT_TYPES = [
    pytest.param(pa.string_view(), id="string_view"),
    pytest.param(pa.large_string(), id="large_string"),
    pytest.param(pa.binary(), id="binary"),
    *(
        pytest.param(kind, id=str(kind), marks=case(
            f"texts in a Parquet column of {kind}", "texts such as b'fine', no word", "texts", "text by all signs"))
        for kind in (pa.large_binary(), pa.binary_view(), pa.binary(4))
    ),
]  # fmt: skip


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("kind", TEXT_TYPES)
def test_texts_are_texts_in_whatever_type_they_lie(tmp_path: Path, kind: pa.DataType):
    cells = ["fine", "dull", "für"]
    held = cells if kind in (pa.string_view(), pa.large_string()) else [cell.encode() for cell in cells]
    table, faults = read(write_chunks(tmp_path / "a.parquet", {"text": pa.array([*held, None], kind)}))
    assert faults == []
    assert table.columns["text"] == [*cells, None]


BAD = [
    pytest.param([b"fine"] * 5000 + [b"caf\xe9"] + [b"dull"], [5001], id="later", marks=case(
        "Parquet texts as bytes, the first that is not UTF-8 far down", "DATA-003 (binary alone)",
        "DATA-003 with the row", "as in a csv")),
    pytest.param([b"caf\xe9"] + [b"dull"] * 5000, [1], id="first", marks=case(
        "the same at the top", "texts such as b'caf\\xe9', no word", "DATA-003 with the row", "as in a csv")),
    pytest.param([b"caf\xe9 cr\xe8me"] * 3 + [b"tr\xe8s bien"], [1, 2, 3, 4], id="all", marks=case(
        "Parquet texts as bytes, all in Latin-1", "texts such as b'caf\\xe9', no word", "DATA-003 for each row",
        "letters for the most part")),
]  # fmt: skip


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
@pytest.mark.parametrize(("cells", "rows"), BAD)
def test_bytes_that_are_no_utf_8_are_named_with_their_row(
    tmp_path: Path, kind: pa.DataType, cells: list[bytes], rows: list[int]
):
    path = write_chunks(tmp_path / "a.parquet", {"text": pa.array(cells, kind), "label": pa.array(range(len(cells)))})
    table, faults = read(path)
    assert [(fault.code, fault.place) for fault in faults] == [("DATA-003", f"{path}:{row}") for row in rows]
    assert all(isinstance(text, str) for text in table.columns.get("text", []))
    assert len(table) + table.skipped["cannot be read"] == len(cells)


BYTES = {
    "pictures": [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0\0\x10JFIF", None],
    "flags": [b"\x01", b"\x02", b"\xff"],
    "numbers": [(7).to_bytes(4, "big"), (300).to_bytes(4, "big"), (2**32 - 1).to_bytes(4, "big")],
    "digests": [
        bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"),
        None,
        bytes.fromhex("900150983cd24fb0d6963f7d28e17f72"),
    ],
}


@pytest.mark.parametrize("pictures", BYTES.values(), ids=BYTES)
def test_bytes_that_are_no_text_stay_bytes(tmp_path: Path, pictures: list[bytes | None]):
    table, faults = read(write_chunks(tmp_path / "a.parquet", {"text": pa.array("abc"), "picture": pa.array(pictures)}))
    assert faults == []
    assert table.columns["picture"] == pictures


@case("a Parquet file whose column of pictures begins with thousands of rows without one",
      "DATA-003 for every row with a picture", "read, the pictures as bytes", "no text column")  # fmt: skip
def test_pictures_that_begin_late_stay_bytes(tmp_path: Path):
    pictures = [None] * 5000 + [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]
    columns = {"text": pa.array(["a"] * 5001), "my.picture": pa.array(pictures, pa.binary())}
    table, faults = read(write_chunks(tmp_path / "a.parquet", columns))
    assert faults == []
    assert table.columns["my.picture"] == pictures


DAY = datetime.date(2024, 2, 29)
OTHERS = [
    (pa.nulls(2), [None, None]),
    (pa.array([decimal.Decimal("1.0"), None]), [decimal.Decimal("1.0"), None]),
    (pa.array([decimal.Decimal("2.5")] * 2, pa.decimal256(50, 1)), [decimal.Decimal("2.5")] * 2),
    (pa.array([1.5, 2.0], pa.float32()).cast(pa.float16()), [1.5, 2.0]),
    (pa.array([DAY, None]), ["2024-02-29", None]),
    (pa.array([DAY, DAY]).dictionary_encode(), ["2024-02-29"] * 2),
    (pa.array([90, 5], pa.duration("s")), ["90", "5"]),
    (pa.array([datetime.time(1, 2), None]), ["01:02:00.000000", None]),
    (pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), [[("a", 1)], []]),
    (pa.array([True, None]), [True, None]),
    (pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float16(), 2)), [[1.0, 2.0], [3.0, 4.0]]),
    (pa.array([{"when": DAY}, None]), [{"when": DAY}, None]),
]


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(("array", "expected"), OTHERS, ids=[str(array.type) for array, _ in OTHERS])
def test_columns_of_other_types_are_read(tmp_path: Path, array: pa.Array, expected: list[Any]):
    table, faults = read(write_chunks(tmp_path / "a.parquet", {"text": pa.array(["a", "b"]), "other": array}))
    assert faults == []
    assert table.columns == {"text": ["a", "b"], "other": expected}


def test_bad_bytes_inside_a_list_are_named_with_their_row(tmp_path: Path):
    words = pa.array([b"fine", b"\xff", b"dull"]).view(pa.string())
    path = write_chunks(tmp_path / "a.parquet", {"text": pa.array(["a", "b", "c"]), "words": as_list(words)})
    table, faults = read(path)
    assert [(fault.code, fault.place) for fault in faults] == [("DATA-003", f"{path}:2")]
    assert table.columns["words"] == [["fine"], ["dull"]]


@pytest.mark.usefixtures("size")
def test_row_groups_of_very_unequal_size_and_of_no_rows_are_read(tmp_path: Path):
    sizes = (0, 1, 9000, 0, 3, 4096, 1)
    rows = iter(range(sum(sizes)))
    chunks = [{"text": pa.array([f"text {next(rows)}" for _ in range(size)], pa.string())} for size in sizes]
    table, faults = read(write_chunks(tmp_path / "a.parquet", *chunks))
    assert faults == []
    assert table.columns["text"] == [f"text {row}" for row in range(sum(sizes))]


def test_a_file_that_unpacks_to_far_more_than_it_says_moves_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One long text in every row: the file holds it once."""
    monkeypatch.setattr(storage, "IN_MEMORY_BYTES", 1_000_000)
    made: list[int] = []
    monkeypatch.setattr(storage, "nameless_file", lambda make=storage.nameless_file: made.append(1) or make())
    path = write_chunks(
        tmp_path / "a.parquet", {"text": pa.array(["long " * 200] * 20_000), "row": pa.array(range(20_000))}
    )
    assert path.stat().st_size < 1_000_000
    table, _ = read(path)
    assert made
    assert set(table.columns["text"]) == {"long " * 200}
    assert table.columns["row"] == list(range(20_000))


def test_class_names_belong_to_the_cleaned_name(tmp_path: Path):
    about = b'{"info": {"features": {"label ": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}'
    plain = pa.table({"text": ["a", "b"], "label ": [1, 0]})
    parquet.write_table(plain.replace_schema_metadata({b"huggingface": about}), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.class_names == {"label": ["neg", "pos"]}
    assert table.columns["label"] == [1, 0]


@pytest.mark.parametrize("about", [b"null", b"[]", b'{"info": null}', b'{"info": {"features": [1]}}'])
def test_other_metadata_under_that_key_is_no_concern(tmp_path: Path, about: bytes):
    parquet.write_table(
        pa.table({"text": ["a"]}).replace_schema_metadata({b"huggingface": about}), tmp_path / "a.parquet"
    )
    assert read_table(tmp_path / "a.parquet").class_names == {}


def test_a_header_of_a_page_is_read_to_its_end() -> None:
    """Written by hand after the compact protocol: (delta of the field, type), zigzag numbers, lengths before bytes."""
    statistics = b"\x18\x03abc" + b"\x26\x00" + b"\x41" + b"\x19\x31\x01\x02\x01" + b"\x00"  # max, nulls, a flag, flags
    data_page = b"\x15\x06" + b"\x4c" + statistics + b"\x00"
    header = b"\x15\x00" + b"\x15\xc8\x01" + b"\x15\x64" + b"\x2c" + data_page + b"\x00"
    found = _Header(header + b"what follows")
    assert found.struct() == {1: 0, 2: 100, 3: 50}
    assert found.place == len(header)


def test_a_list_that_claims_more_than_there_is_ends_at_once() -> None:
    for kind in (b"\xf1", b"\xf5", b"\xfc"):  # flags, numbers, structs: 2 to the 62 of them
        with pytest.raises(IndexError):
            _Header(b"\x19" + kind + b"\xff" * 8 + b"\x3f").struct()


def test_the_pages_of_a_file_are_all_found(tmp_path: Path) -> None:
    texts = [f"{number:04d} " + "x" * 95 for number in range(400)]  # 400 times 4 bytes of length and 100 of text
    path = tmp_path / "pages.parquet"
    parquet.write_table(
        pa.table({"text": texts}), path, compression="none", use_dictionary=False, data_page_size=1000,
        write_batch_size=20,
    )  # fmt: skip
    chunk = parquet.ParquetFile(path).metadata.row_group(0).column(0)
    with path.open("rb") as stream:
        sizes = [found[UNPACKED] for found in _headers(stream, chunk)]
    assert len(sizes) == 20
    assert 400 * 104 <= sum(sizes) < chunk.total_uncompressed_size
