"""Opening a text file as it is: UTF-8, UTF-16 by its mark, a stated encoding, packed with gzip or not."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO

from lightune.data.encodings import is_utf8, proposed
from lightune.data.file_signatures import NOT_UTF8, wide_encoding
from lightune.faults import Fault

GZIP = b"\x1f\x8b"
PACKED = ".gz"
# What a packed file may unpack to: a file of a few megabytes can unpack to more than any disk holds.
MOST_UNPACKED = 8_000_000_000
# Tables pack to a tenth; only what was made to fill memory or a disk packs to less than this share, and is not small.
MOST_TIMES = 200
FEWEST_JUDGED = 64_000_000
LONGEST_LINE = 32_000_000  # characters, which are held in memory together
PART = 1 << 20
UTF8 = "utf-8-sig"
DATA_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True)
class TextFormat:
    """What a user states about how files are written; None is read from each file.

    `header_row` is the row of the column names, from 1; `column_names` are those of files without any. `sheet` is one
    of a workbook. `decimal` says whether numbers have a comma or a point before their fraction.
    """

    separator: str | None = None
    encoding: str | None = None
    header_row: int | None = None
    column_names: tuple[str, ...] | None = None
    sheet: str | None = None
    decimal: str | None = None


@dataclass(frozen=True)
class TextFile:
    """A text file whose encoding is known; `stated` is how it is written, and `notes` say what was found."""

    path: Path
    encoding: str = UTF8
    stated: TextFormat = TextFormat()
    notes: tuple[str, ...] = ()

    def stream(self) -> TextIO:
        """Open it as text; bytes that are not of a one-byte-based encoding become single surrogates."""
        errors = "strict" if self.encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        if is_packed(self.path):
            return _Lines(gzip.GzipFile(self.path), self.encoding, errors, newline="")
        if self.path.stat().st_size <= LONGEST_LINE:
            return self.path.open(encoding=self.encoding, errors=errors, newline="")
        return _Lines(self.path.open("rb"), self.encoding, errors, newline="")


class LongLineError(ValueError):
    """A line of more characters than are read; `number` is that of the line."""

    def __init__(self, number: int) -> None:
        super().__init__(f"line {number}: more than {LONGEST_LINE:,} characters")
        self.number = number


class _Lines(TextIOWrapper):
    """A text whose lines are bounded: one without line breaks would be read into memory as a whole."""

    _number = 0

    def __next__(self) -> str:  # type: ignore[override]  # as typeshed has its base
        line = self.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) > LONGEST_LINE:
            raise LongLineError(self._number)
        return line


def kind_of(path: Path) -> str:
    """Return what a file's name says it is, without the dot: csv, also for reviews.csv.gz."""
    inner = path.with_suffix("") if is_packed(path) else path
    return inner.suffix.lower().lstrip(".")


def is_packed(path: Path) -> bool:
    """Say whether the file's name says that it is packed with gzip."""
    return path.suffix.lower() == PACKED


def open_bytes(path: Path) -> BinaryIO:
    """Open a file as bytes, unpacked."""
    return BufferedReader(gzip.GzipFile(path)) if is_packed(path) else path.open("rb")


def size_of(path: Path) -> int | Fault:
    """Return the size of a file in bytes, unpacked, or the fault of one that is damaged or unpacks to too much."""
    if not is_packed(path):
        return path.stat().st_size
    size, packed = 0, path.stat().st_size
    try:
        for part in _parts(path):
            size += len(part)
            if size > MOST_UNPACKED:
                text = f"it unpacks to more than {MOST_UNPACKED / 1e9:.0f} GB, and reading stopped there."
                return Fault("DATA-074", str(path), text, "Unpack it yourself if that is right, and pass the file.")
            if is_bomb(size, packed):
                text = f"it unpacks to more than {MOST_TIMES} times its size, and reading stopped at {size:,} bytes."
                return Fault("DATA-074", str(path), text, "Unpack it yourself if that is right, and pass the file.")
    except DATA_ERRORS as error:
        hint = "Fetch it again, or rename it if it is not packed."
        return Fault("DATA-075", str(path), f"it cannot be unpacked ({error}).", hint)
    return size


def is_bomb(size: int, packed: int) -> bool:
    """Say whether so many packed bytes unpack to more than any table does."""
    return size > max(FEWEST_JUDGED, MOST_TIMES * packed)


def long_line(path: Path, error: LongLineError) -> Fault:
    """Return the fault of a file with such a line; nothing after it is read."""
    text = f"this line has more than {LONGEST_LINE:,} characters, and reading stopped there"
    hint = "Is it a table? Each row is a line, and only a text in quotes has line breaks."
    return Fault("DATA-086", f"{path}:{error.number}", text, hint)


def text_file(path: Path, head: bytes, stated: TextFormat) -> TextFile | Fault:
    """Return the file with its encoding; `head` are its first bytes, unpacked.

    A byte order mark says UTF-16 or UTF-32. A stated encoding is for files that are not UTF-8: of several files some
    may be. Nothing else is guessed.
    """
    marked = wide_encoding(head)
    if marked.is_marked:
        note = f"{path}: read as {marked.name.upper()}, which its first bytes state."
        return TextFile(path, marked.name, stated, (note,))
    if stated.encoding is None:
        if marked.name:
            text = f"this file is not UTF-8 but {marked.name}, without a mark that says so"
            return Fault("DATA-003", f"{path}:1", text, f"Pass --encoding {marked.name}.")
        return TextFile(path, UTF8, stated)
    if is_utf8(_parts(path)):  # with characters beyond ASCII, which are UTF-8 in no other encoding
        note = f"{path}: it is UTF-8 and read as such, not as {stated.encoding}."
        return TextFile(path, UTF8, stated, (note,))
    return TextFile(path, codecs.lookup(stated.encoding).name, stated)


def wrong_encoding(file: TextFile) -> Fault | None:
    """Return the one fault of a file whose lines are mostly in another encoding, with the encoding that they look like.

    None where most lines with other characters than ASCII can be read: then the others were spoilt one by one.
    """
    good, bad, first, sample = 0, 0, 0, bytearray()
    with file.stream() as stream:
        for number, line in enumerate(_lines(stream), 1):
            if line.isascii():
                continue
            is_bad = NOT_UTF8.search(line) is not None
            good, bad = good + (not is_bad), bad + is_bad
            if is_bad:
                first = first or number
                if len(sample) < PART:
                    sample += line.encode(file.encoding.removesuffix("-sig"), "surrogateescape")
    if bad <= good:
        return None
    lines = "this line is" if bad == 1 else f"this line and {bad - 1:,} more are"
    return Fault("DATA-003", f"{file.path}:{first}", f"{lines} not {shown(file.encoding)}", proposed(bytes(sample)))


def undecodable(file: TextFile, error: UnicodeError) -> Fault:
    """Return the fault of a file that is not in the encoding which it or the user states."""
    reason = (
        error.reason if isinstance(error, UnicodeDecodeError) else str(error)
    )  # the latter of UTF-16 without a mark
    text = f"this file cannot be read as {shown(file.encoding)} ({reason})"
    return Fault("DATA-003", f"{file.path}:1", text, "Check --encoding, or write the file again as UTF-8.")


def shown(encoding: str) -> str:
    """Return an encoding's name as people write it."""
    return encoding.removesuffix("-sig").upper() if encoding.startswith("utf") else encoding


def _lines(stream: TextIO) -> Iterator[str]:
    try:
        yield from stream
    except (UnicodeError, LongLineError):  # a wide encoding, or such a line; its own fault says so
        return


def _parts(path: Path) -> Iterator[bytes]:
    with open_bytes(path) as stream:
        while part := stream.read(PART):
            yield part
