"""Files that are not what their name says: other formats, wide encodings, stray characters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightune.faults import Fault

HEAD_BYTES = 65_536
# A byte that is not UTF-8 is read as one of these code points (errors="surrogateescape").
NOT_UTF8 = re.compile("[\udc80-\udcff]")
UNPACK = "Unpack it first."
SPOILT = "The other lines are: write this one again, or remove it."
EXCEL = "Rename it to .xlsx."
OLD_EXCEL = "Save it from the spreadsheet as .xlsx."
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip-compressed", "Let its name end in .gz."),
    (b"BZh", "bzip2-compressed", UNPACK),
    (b"\xfd7zXZ\0", "xz-compressed", UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", OLD_EXCEL),
    (b"PAR1", "a Parquet file", "Rename it to .parquet."),
    (b"ARROW1", "an Arrow file", "Save it as Parquet."),
    (b"SQLite format 3\0", "an SQLite database", "Export the table as CSV."),
    (b"%PDF", "a PDF", "Export the table as CSV."),
    (b"version https://git-lfs", "a Git LFS pointer and not the data", "Run `git lfs pull` where it was cloned."),
)
HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class WideEncoding:
    """UTF-16 or UTF-32, whether a mark says so, or "" for neither."""

    name: str = ""
    is_marked: bool = False


def disguised(path: Path, head: bytes) -> Fault | None:
    """Return the fault of a text file whose first bytes belong to another format, or None."""
    what, hint = _other_format(head)
    return Fault("DATA-062", str(path), f"this is {what}, despite its name", hint) if what else None


def described(head: bytes) -> str:
    """Return the format that the first bytes of a file show; empty when they show none."""
    return _other_format(head)[0]


def stray_characters(path: Path, first: int, lines: Sequence[str]) -> Fault | None:
    """Return the fault of a row (its lines, the first of which is line `first`), or None.

    It finds bytes that are not UTF-8, NUL bytes, and a byte order mark at the beginning of a line, as `cat` leaves it.
    """
    for number, line in enumerate(lines, first):
        place = f"{path}:{number}"
        if "\0" in line:
            return Fault("DATA-060", place, "this line holds a NUL byte", "Remove it: tr -d '\\000' < FILE.")
        if line.isascii():
            continue
        if NOT_UTF8.search(line):
            return Fault("DATA-003", place, "this line holds bytes that are not UTF-8", SPOILT)
        if line.startswith("\ufeff"):
            hint = "Files seem to have been joined: remove the mark (U+FEFF), and repeated column names."
            return Fault("DATA-061", place, "this line begins with a byte order mark", hint)
    return None


def wide_encoding(head: bytes) -> WideEncoding:
    """Return the UTF-16 or UTF-32 encoding of first bytes, recognised by its mark or by NUL in every second byte."""
    for mark, name in WIDE:
        if head.startswith(mark):
            return WideEncoding(name, is_marked=True)
    sample = head[:4096]
    pairs = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if pairs < 4 or max(even, odd) < 0.4 * pairs or min(even, odd) > 0.1 * pairs:
        return WideEncoding()
    return WideEncoding("utf-16le" if odd > even else "utf-16be")


def _other_format(head: bytes) -> tuple[str, str]:
    if head.startswith(b"PK\x03\x04"):
        return ("an Excel workbook", EXCEL) if b"xl/" in head else ("a zip archive", UNPACK)
    if HTML.match(head.removeprefix(codecs.BOM_UTF8)):
        return "a web page (HTML)", "Download the file itself: the link led to a page, perhaps to a login."
    return next(((what, hint) for magic, what, hint in SIGNATURES if head.startswith(magic)), ("", ""))
