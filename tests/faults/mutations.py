"""Hypothesis strategies that spoil valid things: recipes, options of methods, and files of every kind that is read."""

from __future__ import annotations

import copy
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from hypothesis import strategies as st
from openpyxl import Workbook

# Names that people write by mistake, and that mean something to Python, pydantic, YAML or a terminal.
NAMES = ["", "name", "rank", "Model", "data", "__class__", "<<", "a.b", "é", "\x1b[31m", "x" * 300, "\u202e", "None"]
NUMBERS = [0, -1, 1, 2**31, 2**63, 10**400, -(10**400), 0.5, -0.0, 1e308, 5e-324, *map(float, ("nan", "inf", "-inf"))]
WORDS = [*NAMES, "auto", "true", "1e5", "{}", "lora", "../x", "a\nb", "\0", "\ud800", "%s{0}", "file:///etc/passwd"]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.integers(), st.floats(), st.sampled_from(WORDS),
    st.text(max_size=12), st.binary(max_size=4), st.just(date(2026, 1, 1)), st.just({1, 2}), st.just((1, "a")),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(NAMES), st.text(max_size=5), st.integers(), st.booleans(), st.none(), st.just((1, 2)))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
EDITS = st.lists(
    st.tuples(st.sampled_from(["drop", "rename", "set", "set", "set", "add", "nest"]), st.floats(0, 1), KEYS, VALUES),
    min_size=1,
    max_size=4,
)


def edited(tree: dict[Any, Any], edits: list[tuple[str, float, Any, Any]]) -> dict[Any, Any]:
    """Return a copy with each edit done at a place that is a share of all places: (what, where, a key, a value)."""
    tree = copy.deepcopy(tree)
    for what, share, key, given in edits:
        value = copy.deepcopy(given)  # else a later edit could put it into itself
        places = list(_places(tree))
        if not places:
            return tree
        inside, name = places[min(int(share * len(places)), len(places) - 1)]
        held = inside[name]
        if what == "drop":
            del inside[name]
        elif what == "rename":
            inside[key] = inside.pop(name)
        elif what == "set":
            inside[name] = value
        elif what == "add":
            inside[key] = value
        else:
            inside[name] = [held] if isinstance(value, list) else {key: held}
    return tree


def _places(tree: Any) -> Any:
    if isinstance(tree, dict):
        for name, value in list(tree.items()):
            yield tree, name
            yield from _places(value)


# Pieces that YAML gives a meaning, put anywhere into a recipe's text.
YAML_PIECES = [
    *["\n", "  ", "\t", ": ", "- ", "? ", "&a ", "*a", "*b", "<<: *a\n", "!!binary "],
    *["!!set ", "!!python/name:os.x ", "!x "],
    *["'", '"', "|\n", ">\n", "[", "]", "{", "}", "#", "%YAML 9.9\n", "---\n", "...\n", ".nan", ".inf", "1e999", "0x_"],
    *["2026-99-99", "1:2:3", "9" * 5000, "\ufeff", "\x85", "\u2028", "\x07", '"\\ud800"'],
    *["=", "<<", "@", "`", "!!int 'a'"],
]  # fmt: skip
TEXT_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(YAML_PIECES), st.text(max_size=4))),
    min_size=1,
    max_size=5,
)


def mutated(data: Any, edits: list[tuple[float, int, Any]]) -> Any:
    """Replace stretches of a text or of bytes: (where, as a share of its length; how many; by what)."""
    for share, length, piece in edits:
        start = int(share * len(data))
        data = data[:start] + piece + data[start + length :]
    return data


ROWS = [(f"a review, with number {number}", ("negative", "positive")[number % 2]) for number in range(12)]


def _separated(mark: str) -> bytes:
    return "".join(f'"{text}"{mark}{label}\n' for text, label in [("text", "label"), *ROWS]).encode()


def _sheet() -> bytes:
    book, packed = Workbook(), io.BytesIO()
    for row in [("text", "label"), *ROWS]:
        book.active.append(row)
    book.save(packed)
    return packed.getvalue()


def _table() -> bytes:
    sink, (texts, labels) = io.BytesIO(), zip(*ROWS, strict=True)
    parquet.write_table(pa.table({"text": list(texts), "label": list(labels)}), sink)
    return sink.getvalue()


RECORDS = [{"text": text, "label": label, "more": {"stars": 3, "tags": ["a"]}} for text, label in ROWS]
TASKS = [
    {"data": {"text": text}, "annotations": [{"result": [{"from_name": "tone", "value": {"choices": [label]}}]}]}
    for text, label in ROWS
]
ANSWERS = [{"text": text, "label": "GOOD", "answer": "accept", "_task_hash": 1} for text, _ in ROWS]
SPLIT = {"columns": ["text", "label"], "index": list(range(12)), "data": [list(row) for row in ROWS]}


def _by_line(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


VALID: list[tuple[str, bytes]] = [
    ("csv", _separated(",")),
    ("tsv", _separated("\t").replace(b'"', b"")),
    ("txt", _separated(";")),
    ("jsonl", _by_line(RECORDS)),
    ("jsonl", _by_line(ANSWERS)),
    ("json", json.dumps(RECORDS).encode()),
    ("json", json.dumps(TASKS).encode()),
    ("json", json.dumps(SPLIT).encode()),
    ("txt", "".join(f"__label__{label} {text}\n" for text, label in ROWS).encode()),
    ("xlsx", _sheet()),
    ("parquet", _table()),
]
# What breaks files: quotes, marks, NULs, other encodings, numbers beyond all bounds, depth, width, length.
PIECES = [
    *[b'"', b",", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe"],
    *[b"\xfe\xff", b"{", b"}", b"[1]", b"null"],
    *[b"NaN", b"1e999", b"\\ud800", b"\\u0000", b"0.5", b"true", b"''", b"text", b"label"],
    *[b"\xc2\x85", b"9" * 5000, b"-"],
    *[b"text,text\n", b"," * 5000, b"[" * 3000, b'{"a":' * 3000, b"x" * 100_000],
    *[b"\xed\xa0\x80", b"\xe9t\xe9\n", b"a,,\n"],
    *[b"__label__", b'"answer": "reject"', b"=cmd|' /C calc'!A0", b"\x1b]0;x\x07"],
    *[b"sep=;\n", b"\xe2\x80\xa8", b"Infinity"],
    *["\u0436\u0448 ".encode("cp1251"), "\u65e5\u672c".encode("shift_jis")],
    *["text,label\n".encode("utf-16"), b"{}", b"[]", b":"],
]  # fmt: skip
BYTE_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 60), st.one_of(st.sampled_from(PIECES), st.binary(max_size=8))),
    max_size=5,
)


def _packed(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    return mutated(gzip.compress(data, mtime=0), edits)


def _inside_zip(data: bytes, share: float, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Return a zip archive of which one member is spoilt, and its checksum made to fit."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = names[min(int(share * len(names)), len(names) - 1)]
        for name in names:
            new.writestr(name, mutated(old.read(name), edits) if name == chosen else old.read(name))
    return packed.getvalue()


def _json_tree(kind: str, edits: list[tuple[str, float, Any, Any]]) -> tuple[str, bytes]:
    """Return spoilt records as JSON, whose syntax is right."""
    write: Callable[[Any], str] = lambda value: json.dumps(value, default=str, skipkeys=True)  # noqa: E731
    records = [edited(record, edits) for record in (TASKS if kind == "json" else RECORDS)]
    found = write(records) if kind == "json" else "\n".join(map(write, records))
    return kind, found.encode("utf-8", "surrogatepass")


FILES = st.one_of(
    st.builds(lambda file, edits: (file[0], mutated(file[1], edits)), st.sampled_from(VALID), BYTE_EDITS),
    st.builds(lambda file, edits: (file[0], mutated(file[1], edits)), st.sampled_from(VALID), BYTE_EDITS),
    st.tuples(st.sampled_from([kind for kind, _ in VALID] + ["csv.gz", "pkl", "arrow"]), st.binary(max_size=200)),
    st.builds(
        lambda file, edits, packed: (f"{file[0]}.gz", _packed(mutated(file[1], edits), packed)),
        st.sampled_from(VALID[:9]), BYTE_EDITS, BYTE_EDITS,
    ),
    st.builds(lambda share, edits: ("xlsx", _inside_zip(VALID[9][1], share, edits)), st.floats(0, 1), BYTE_EDITS),
    st.builds(_json_tree, st.sampled_from(["json", "jsonl"]), EDITS),
)  # fmt: skip
