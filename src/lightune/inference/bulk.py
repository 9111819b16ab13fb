"""Classifying a large file with bounded memory: rows stream through in chunks."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from lightune.data.csv_file import SEPARATORS, Row, Rows, batches, by_name
from lightune.data.file_signatures import HEAD_BYTES, disguised
from lightune.data.header import labels_as_names, missing_header
from lightune.data.tables import Table, reading_notes
from lightune.errors import DataError, RecipeError
from lightune.faults import Fault, raise_faults
from lightune.inference.abstention import Abstention
from lightune.inference.classifier import Classifier, Text
from lightune.inference.file_columns import file_columns
from lightune.inference.known_texts import LabelledRows
from lightune.inference.prediction_cache import Answers
from lightune.progress import Reporter, Silent
from lightune.values.missing import is_missing

CHUNK_ROWS = 2048


@dataclass
class Tally:
    """What happened to the rows below a file's header.

    rows_in = rows_answered + rows_abstained + the sum of rows_dropped; a model abstains from a row if its confidence is
    below the bound that was asked for.
    """

    rows_in: int = 0
    rows_answered: int = 0
    rows_dropped: dict[str, int] = field(default_factory=dict)
    rows_abstained: int = 0


def answered_rows(
    classifier: Classifier,
    source: Path,
    text_column: str | None = None,
    reporter: Reporter | None = None,
    tally: Tally | None = None,
    labelled: LabelledRows | None = None,
    abstention: Abstention | None = None,
) -> Iterator[list[str]]:
    """Yield the rows of a csv or tsv with the columns of the predictions added, the header first.

    Equal texts are computed once. The file is first read completely: DataError names every broken or empty row, and
    the reporter gets notes on what looks odd. `tally` and `labelled` are updated on the way. An answer that the
    abstention leaves out is empty.
    """
    says, counts, known = reporter or Silent(), tally or Tally(), labelled or LabelledRows(classifier)
    chosen = abstention or Abstention(classifier.task)
    columns = _survey(classifier, source, text_column, says, counts, chosen.columns)
    chunks = -(-(counts.rows_in - sum(counts.rows_dropped.values())) // CHUNK_ROWS)
    with _opened(source) as stream, says.steps(f"answering, {CHUNK_ROWS} rows each", chunks) as advance:
        faults: list[Fault] = []
        read = Rows(source, stream, faults)
        yield [*read.header, *chosen.columns]
        known.begin(read.header, [read.header[column] for column in columns])
        rows = iter(read)
        answers = Answers(classifier, abstention=chosen)
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            texts, places = [_text(cells, columns) for _, cells in chunk], [f"{source}:{line}" for line, _ in chunk]
            answered = answers.of(texts, places)
            given = list(map(chosen.given, answered))
            known.take([cells for _, cells in chunk], texts, given)
            for (_, cells), answer, one in zip(chunk, answered, given, strict=True):
                counts.rows_answered += one is not None
                counts.rows_abstained += one is None
                yield [*cells, *chosen.shown(answer)]
            advance()
        raise_faults(faults)  # in case the file was changed meanwhile


def write_rows(rows: Iterable[list[str]], target: Path) -> int:
    """Write rows as csv, completely or not at all, and return how many came after the header."""
    partial = target.with_name(target.name + ".partial")
    written = -1
    if not target.parent.is_dir():
        raise RecipeError("RECIPE-062", f"{target}: there is no folder {target.parent}.", "Create it first.")
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


def _opened(source: Path) -> TextIO:
    return source.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _survey(
    classifier: Classifier, source: Path, text_column: str | None, says: Reporter, tally: Tally, added: Sequence[str]
) -> list[int]:
    """Read the whole file, count its rows, note what looks odd, and return the positions of the text columns.

    DataError lists everything that is wrong.
    """
    _refuse_other_formats(source)
    faults: list[Fault] = []
    with _opened(source) as stream:
        read = Rows(source, stream, faults)
        raise_faults(faults)
        _refuse_answered(added, source, read)
        parts = batches(read)
        first = next(parts, [])
        columns = _text_columns(classifier, read, first, text_column, says)
        for batch in itertools.chain([first], parts):
            tally.rows_in += len(batch)
            faults += [_empty(source, line) for line, cells in batch if _is_empty(cells, columns)]
    raise_faults(faults)
    tally.rows_dropped = dict(read.skipped)
    tally.rows_in += sum(tally.rows_dropped.values())
    for note in reading_notes(str(source), tally.rows_dropped, read.warnings()):
        says.note(note)
    return columns


def _refuse_other_formats(source: Path) -> None:
    if not source.is_file():
        raise DataError("DATA-001", f"{source}: there is no such file.", "Check the path.")
    if source.suffix.lower() not in SEPARATORS:
        raise DataError(
            "DATA-002", f"{source}: only csv and tsv files are classified row by row.", "Convert it to csv."
        )
    with source.open("rb") as stream:
        fault = disguised(source, stream.read(HEAD_BYTES))
    raise_faults([fault] if fault else [])


def _refuse_answered(added: Sequence[str], source: Path, read: Rows) -> None:
    taken = [name for name in added if name in read.header]
    if taken:
        message = f"{source}:{read.header_line}: a column called {taken[0]} already exists."
        raise DataError("DATA-042", message, f"Rename it: {_added(added)} added.")


def _added(names: Sequence[str]) -> str:
    return f"the columns {' and '.join(names)} are" if len(names) > 1 else f"the column {names[0]} is"


def _text_columns(
    classifier: Classifier, read: Rows, first: list[Row], wanted: str | None, says: Reporter
) -> list[int]:
    """Choose the columns by the header and the first rows, as `file_columns` does, and note what was guessed."""
    head = by_name(read.header, first)
    if wanted is None and not set(classifier.text_columns) <= set(head):
        place = f"{read.path}:{read.header_line}"
        raise_faults(missing_header(place, head) or labels_as_names(place, read.header, classifier.labels))
    table = Table(str(read.path), head, [line for line, _ in first])
    names, is_guess = file_columns(classifier, table, wanted)
    if is_guess:
        says.note(f"Columns guessed: text = {' + '.join(names)}.")
    return list(map(read.header.index, names))


def _text(cells: list[str], columns: list[int]) -> Text:
    parts = tuple(cells[column] for column in columns)
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def _is_empty(cells: list[str], columns: list[int]) -> bool:
    return any(is_missing(cells[column]) for column in columns)


def _empty(source: Path, line: int) -> Fault:
    return Fault("DATA-040", f"{source}:{line}", "the text is empty.", "Give each row some text.")
