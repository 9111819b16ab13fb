"""Classifying a large file with bounded memory: rows stream through in chunks."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from lightune.data.columns import TEXT_NAMES, is_missing
from lightune.data.separated import SEPARATORS, stream_csv, wrong_separator
from lightune.data.tables import not_utf8
from lightune.errors import DataError, RecipeError, did_you_mean
from lightune.inference.answers import Answers
from lightune.inference.classifier import Classifier, Text
from lightune.progress import Reporter, Silent

CHUNK_ROWS = 2048
ADDED = ("prediction", "confidence")


def answered_rows(
    classifier: Classifier, source: Path, text_column: str | None = None, reporter: Reporter | None = None
) -> Iterator[list[str]]:
    """Yield the rows of a csv or tsv with the columns prediction and confidence added, the header first.

    Equal texts are computed once. Raises DataError with file and line for a broken or empty row, or one whose text has
    no tokens, when the reading comes to it.
    """
    separator = _separator(source)
    chunks = -(-_count_rows(source, separator) // CHUNK_ROWS)
    with (
        source.open(encoding="utf-8-sig", newline="") as stream,
        (reporter or Silent()).steps(f"answering, {CHUNK_ROWS} rows each", chunks) as advance,
    ):
        rows = _rows(source, stream, separator)
        header = _header(source, rows)
        columns = _text_columns(source, header, text_column, classifier)
        taken_by_name = [header[column] for column in columns]
        if text_column is None and taken_by_name != classifier.text_columns:
            (reporter or Silent()).note(f"Columns taken by name: text = {' + '.join(taken_by_name)}.")
        yield [*header, *ADDED]
        answers = Answers(classifier)
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            texts = [_text(source, line, cells, columns) for line, cells in chunk]
            places = [f"{source}:{line}" for line, _ in chunk]
            for (_, cells), (label, confidence) in zip(chunk, answers.of(texts, places), strict=True):
                yield [*cells, label, f"{confidence:.6f}"]
            advance()


def write_rows(rows: Iterable[list[str]], target: Path) -> int:
    """Write rows as csv, whole or not at all, and return how many came after the header."""
    partial = target.with_name(target.name + ".partial")
    written = -1
    if not target.parent.is_dir():
        raise RecipeError("RECIPE-062", f"{target}: there is no folder {target.parent}.", "Make it first.")
    try:
        with partial.open("w", encoding="utf-8", newline="") as sink:
            writer = csv.writer(sink, lineterminator="\n")
            for row in rows:
                writer.writerow(row)
                written += 1
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return written


def _separator(source: Path) -> str:
    if not source.is_file():
        raise DataError("DATA-001", f"{source}: there is no such file.", "Check the path.")
    if source.suffix.lower() not in SEPARATORS:
        raise DataError(
            "DATA-002", f"{source}: only csv and tsv files are classified row by row.", "Convert it to csv."
        )
    return SEPARATORS[source.suffix.lower()]


def _header(source: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    first, cells = next(rows, (1, []))
    header = [name.strip() for name in cells]
    if not header:
        raise DataError("DATA-004", f"{source}: there are no rows.")
    taken = [name for name in ADDED if name in header]
    if taken:
        message = f"{source}:{first}: there is a column called {taken[0]} already."
        raise DataError("DATA-042", message, f"Rename it: the columns {' and '.join(ADDED)} are added.")
    return header


def _count_rows(source: Path, separator: str) -> int:
    """Return the number of data rows, for the progress bar; a broken file is reported when it is read."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            return max(0, sum(1 for _ in stream_csv(source, stream, separator)) - 1)
    except (DataError, UnicodeDecodeError):
        return 0


def _rows(source: Path, stream: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    width = 0
    try:
        for line, cells in stream_csv(source, stream, separator):
            width = width or len(cells)
            if len(cells) != width:
                message = f"{source}:{line}: {len(cells)} cells, {width} columns."
                raise DataError("DATA-007", message, "Quote texts that hold the separator.")
            yield line, cells
    except UnicodeDecodeError as error:
        raise not_utf8(source) from error


def _text_columns(source: Path, header: list[str], wanted: str | None, classifier: Classifier) -> list[int]:
    if wanted is None and all(name in header for name in classifier.text_columns):
        return [header.index(name) for name in classifier.text_columns]
    names = [wanted] if wanted else [name for name in header if name.lower() in TEXT_NAMES][:1]
    if not names or names[0] not in header:
        asked = wanted or " + ".join(classifier.text_columns)
        hint = f"{did_you_mean(asked, header)} Columns: {', '.join(header)}. Name it with --text-column.".strip()
        hint = wrong_separator(header) or hint
        raise DataError("DATA-024", f'{source}: there is no text column "{asked}".', hint)
    return [header.index(names[0])]


def _text(source: Path, line: int, cells: list[str], columns: list[int]) -> Text:
    parts = tuple(cells[column] for column in columns)
    if any(is_missing(part) for part in parts):
        raise DataError("DATA-040", f"{source}:{line}: the text is empty.", "Give each row some text.")
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])
