"""Answering a whole file: its rows stream through in chunks, and columns with the answers are added."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightune.data.cells import cells
from lightune.data.encoding import NoTokensError
from lightune.data.header import labels_as_names
from lightune.data.inner_fields import add_fields
from lightune.data.scan import text_fault
from lightune.data.tables import AS_IT_IS, Table, read_table, reading_notes
from lightune.data.text_file import TextFormat
from lightune.data.unused_format import kinds_of, unused_format
from lightune.errors import DataError
from lightune.faults import Fault, Missing, as_error, as_note, raise_faults
from lightune.inference.abstention import Abstention
from lightune.inference.classifier import Classifier, Text
from lightune.inference.file_columns import file_columns
from lightune.inference.known_texts import LabelledRows
from lightune.inference.prediction_cache import Answers
from lightune.progress import Reporter, Silent
from lightune.values.text_formats import stated_texts

CHUNK_ROWS = 2048
REASON = "reason"  # the column that says why a row has no answer
NO_ROWS = "DATA-004"
NO_TOKENS = "the model's tokenizer knows no character of the text"
UNANSWERED = "not answered"

Row = list[Any]


@dataclass
class Tally:
    """What happened to the rows of a file: rows_in = rows_answered + rows_abstained + the sum of rows_dropped.

    A model abstains from a row if its confidence is below the bound that was asked for. Rows that were kept without an
    answer for another reason count among the dropped ones as "not answered".
    """

    rows_in: int = 0
    rows_answered: int = 0
    rows_dropped: dict[str, int] = field(default_factory=dict)
    rows_abstained: int = 0

    def add(self, scored: Sequence[Sequence[str] | None], rows: int) -> None:
        """Count some rows: the answers of those that have one, None where the model abstains, and how many all are."""
        self.rows_answered += sum(one is not None for one in scored)
        self.rows_abstained += sum(one is None for one in scored)
        if len(scored) < rows:
            self.rows_dropped[UNANSWERED] = self.rows_dropped.get(UNANSWERED, 0) + rows - len(scored)


@dataclass(frozen=True)
class FileWishes:
    """What a user says about a file to answer: its text column or columns, how it is written, and what faults do.

    With `skips_faults` a row that cannot be answered stays without an answer, and says why in a further column. An
    answer whose confidence is below `abstain_below` is left out.
    """

    text_column: str | None = None
    stated: TextFormat = AS_IT_IS
    skips_faults: bool = False
    abstain_below: float | None = None


def answered_rows(
    classifier: Classifier,
    source: Path,
    wishes: FileWishes | None = None,
    reporter: Reporter | None = None,
    tally: Tally | None = None,
    labelled: LabelledRows | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file with the columns of the answers added, the header first.

    Own cells are as the file has them: texts of a csv or tsv, JSON values of a jsonl, values of a Parquet file. Answers
    are texts. Equal texts are computed once. The file is first read completely: DataError names every broken or empty
    row, and the reporter gets notes on what looks odd. `tally` and `labelled` are updated on the way.
    """
    given, says, counts = wishes or FileWishes(), reporter or Silent(), tally or Tally()
    known, abstention = labelled or LabelledRows(classifier), Abstention(classifier.task, given.abstain_below)
    file = _opened(classifier, source, given, says)
    counts.rows_in = len(file.table) + sum(file.table.skipped.values())
    counts.rows_dropped = dict(file.table.skipped)
    added = [*abstention.columns, *([REASON] if given.skips_faults else [])]
    _refuse_taken(source, file.header, added)
    yield [*file.header, *added]
    known.begin(file.table, file.texts, given.stated.decimal)
    answers = _Answering(Answers(classifier, abstention=abstention), file, given.skips_faults)
    with says.steps(f"answering, {CHUNK_ROWS} rows each", -(-len(file.table) // CHUNK_ROWS)) as advance:
        for start, chunk in _chunks(file.table):
            answered = answers.of(start, chunk)
            good = [place for place, one in enumerate(answered) if not one.reason]
            scored = [abstention.given(answered[place].cells) for place in good]
            known.take([chunk[place] for place in good], [file.text(chunk[place]) for place in good], scored)
            counts.add(scored, len(chunk))
            for row, one in zip(chunk, answered, strict=True):
                shown = [""] * len(abstention.columns) if one.reason else abstention.shown(one.cells)
                yield [*row[: len(file.header)], *shown, *([one.reason] if given.skips_faults else [])]
            advance()


@dataclass(frozen=True)
class _File:
    """A file that was read: which columns are its own, which hold the texts, and why rows cannot be answered."""

    table: Table
    header: list[str]
    texts: list[str]
    places: list[int]  # of the texts among a row's cells
    reasons: dict[int, str]

    def text(self, row: Sequence[Any]) -> Text:
        """Return the text of a row, or its pair."""
        parts = tuple(str(row[place]) for place in self.places)
        return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def _opened(classifier: Classifier, source: Path, given: FileWishes, says: Reporter) -> _File:
    """Read the whole file and say what is odd; DataError where a row is broken or empty and faults are not skipped."""
    table, faults = _read(source, given.stated)
    own = list(table.columns)  # fields inside objects come after these
    add_fields(table, [*classifier.text_columns, *stated_texts(given.text_column)])
    names, is_guess = _text_columns(classifier, table, given.text_column)
    unusable = _unusable(table, names)
    if table.nameless is not None:  # pandas' index stays in the file of answers
        table.columns, own = {"": table.nameless, **table.columns}, ["", *own]
    if not given.skips_faults:
        raise_faults([*faults, *unusable.values()])
    _say(says, table, faults, names if is_guess else ())
    places = [list(table.columns).index(name) for name in names]
    return _File(table, own, names, places, {row: fault.text.rstrip(".") for row, fault in unusable.items()})


@dataclass(frozen=True)
class _Answered:
    """The cells of a row's answer, or the reason why it has none."""

    cells: tuple[str, ...] = ()
    reason: str = ""


class _Answering:
    """Answers chunks of a file's rows."""

    def __init__(self, cache: Answers, file: _File, skips_faults: bool) -> None:
        self._cache, self._file, self._skips = cache, file, skips_faults

    def of(self, start: int, rows: Sequence[Sequence[Any]]) -> list[_Answered]:
        """Return the answer of each row; the first of them is row `start` of the table."""
        reasons = [self._file.reasons.get(row, "") for row in range(start, start + len(rows))]
        while True:
            asked = [place for place, reason in enumerate(reasons) if not reason]
            places = [self._file.table.place(start + place) for place in asked]
            try:
                answers = self._cache.of([self._file.text(rows[place]) for place in asked], places)
            except NoTokensError as error:
                if not self._skips:
                    raise
                reasons[asked[error.index]] = NO_TOKENS
                continue
            found = dict(zip(asked, answers, strict=True))
            return [_Answered(found.get(place, ()), reason) for place, reason in enumerate(reasons)]


def _read(source: Path, stated: TextFormat) -> tuple[Table, list[Fault]]:
    """Read the whole file; return what can be read, and what is wrong with rows. DataError where nothing can be."""
    faults: list[Fault] = []
    table = read_table(source, faults, stated)
    raise_faults(unused_format(stated, kinds_of([table]), str(source)))
    faults = [fault for fault in faults if fault.code != NO_ROWS]  # a header alone has no answers
    if not table.columns:
        raise_faults(faults)
    return table, faults


def _text_columns(classifier: Classifier, table: Table, wanted: str | None) -> tuple[list[str], bool]:
    """Return the columns as `file_columns` does, and whether they were guessed."""
    if wanted is None and not set(classifier.text_columns) <= set(table.columns):
        raise_faults(table.doubts or labels_as_names(table.origin, list(table.columns), classifier.labels))
    return file_columns(classifier, table, wanted)


def _unusable(table: Table, names: Sequence[str]) -> dict[int, Fault]:
    """Return what is wrong with texts, by row, as a check of data would say it; an empty text has a code of its own."""
    found = {}
    for row, texts in enumerate(zip(*(cells(table, name) for name in names), strict=True)):
        fault = text_fault(names, texts)
        if isinstance(fault, Missing):
            hint = "Give each row some text, or leave such rows without an answer: --on-error skip."
            found[row] = Fault("DATA-040", table.place(row), "the text is empty.", hint)
        elif fault:
            found[row] = replace(fault, place=table.place(row))
    return found


def _say(says: Reporter, table: Table, faults: Sequence[Fault], guessed: Sequence[str]) -> None:
    """Note how the file was read, what looked odd, which rows could not be read, and which columns were guessed."""
    unread = [as_error(faults).message] if faults else []
    for note in [*reading_notes(table), *map(as_note, table.warnings), *unread]:
        says.note(note)
    if guessed:
        says.note(f"Columns guessed: text = {' + '.join(guessed)}.")


def _chunks(table: Table) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Yield (the number of the first row, rows), a chunk at a time: the table may be on disk."""
    rows = zip(*(cells(table, name) for name in table.columns), strict=True)
    for start in itertools.count(0, CHUNK_ROWS):
        chunk = list(itertools.islice(rows, CHUNK_ROWS))
        if not chunk:
            return
        yield start, chunk


def _refuse_taken(source: Path, header: Sequence[str], added: Sequence[str]) -> None:
    taken = [name for name in added if name in header]
    if taken:
        message = f"{source}: a column called {taken[0]} already exists."
        raise DataError("DATA-042", message, f"Rename it: {_added(added)} added.")


def _added(names: Sequence[str]) -> str:
    return f"the columns {' and '.join(names)} are" if len(names) > 1 else f"the column {names[0]} is"
