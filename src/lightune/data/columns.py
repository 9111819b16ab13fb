"""Which column is the text, and which others are groups; label_columns.py finds the labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from lightune.data.cells import CHUNK, cells
from lightune.data.header import wrong_separator
from lightune.data.names import HEADED_NAMES, HEADING_NAMES, PAIR_NAMES, TEXT_NAMES, clean_name
from lightune.data.proposals import as_flags, proposed_texts
from lightune.data.tables import Table
from lightune.errors import DataError, did_you_mean, shortlist
from lightune.faults import data_error
from lightune.tasks import label_columns
from lightune.values.label_text import label_text
from lightune.values.missing import is_missing, is_writable
from lightune.values.numerals import NUMBER, WHOLE

# sentence1 and sentence2, q_1 and q_2, text_a and text_b, sentence1 and sentence_2
STEM = re.compile(r"[a-z]+[_ -]?[1a]")
SECOND = {"1": "2", "a": "b"}
# Columns that only identify a row: id, review_id, ReviewId, index, uuid.
IDENTITY = re.compile(r"(?i:ids?|idx|index|uuid|guid|unnamed: \d+)|.*[_ \-.](?i:id|idx|uuid|guid)|.*[a-z]I[Dd]")
MOST_LOOKED_AT = 1000
FRACTION = re.compile(r"\s*[+-]?[0-9]*\.0*[1-9][0-9]*\s*")  # of a quantity, not the name of a group
ONE_TEXT = "Each row has one text, or a pair of texts, each of them a string."
FEWEST_JUDGED = 5
MOST_NAMED = 6


def text_columns(
    table: Table, wanted: str | tuple[str, str] | None, others: Sequence[Table] = (), titled: bool = True
) -> tuple[list[str], bool]:
    """Return (the text column or pair, whether it was guessed); DataError when there is none.

    Unless stated, it is a pair recognised by its names, else a title and the text below it, else the first of
    TEXT_NAMES that exists, else the widest column. A column of numbers, or an id column without words, is never the
    text. A title is left out unless `titled`, and where one of the `others`, which are read in the same way, has none.
    """
    if wanted is not None:
        stated = [_readable(table, existing_column(table, name, "text")) for name in _stated(table, wanted)]
        if len(set(stated)) < len(stated):
            text = f"column {stated[0]} cannot be both texts of a pair."
            raise data_error("DATA-026", table.origin, text, f"Columns: {', '.join(table.columns)}.")
        return stated, False
    known = by_lower(named_columns(table))
    pair = _known_pair(table, known) or (_with_title(known, [table, *others]) if titled else None)
    if pair:
        return [_readable(table, name) for name in pair], True
    for name in TEXT_NAMES:
        if name in known:
            return [_readable(table, only_column(table, known[name], "text"))], True
    return [_widest(table)], True


def guess_note(texts: Sequence[str], labels: Sequence[str], guessed: tuple[bool, bool]) -> str:
    """Return a note on which columns (text, label) were guessed; empty when both were stated."""
    shape = f" ({len(labels)} columns of 0 and 1)" if len(labels) > 1 else ""
    named = (f"text = {' + '.join(texts)}", f"label = {shortlist(labels, MOST_NAMED)}{shape}")
    taken = ", ".join(name for name, is_guess in zip(named, guessed, strict=True) if is_guess)
    return f"Columns guessed: {taken}." if taken else ""


def is_usual(name: str) -> bool:
    """Say whether a name is a usual one for a text or label column."""
    return name.casefold() in {*TEXT_NAMES, *label_columns(), *(name for pair in PAIR_NAMES for name in pair)}


def group_columns(table: Table, used: Sequence[str], most: int = 12) -> list[str]:
    """Return the other columns with few, repeated values, for metrics by group (such as `kind` in the reviews).

    Those with a usual name of a label come last: they are another answer to the same texts.
    """
    found = [name for name in table.columns if name not in used and _is_grouping(table, name, most)]
    return sorted(found, key=lambda name: name.casefold() in label_columns())


def _is_grouping(table: Table, name: str, most: int) -> bool:
    counts = Counter[str]()
    values = cells(table, name)
    while chunk := list(islice(values, CHUNK)):
        if not all(isinstance(value, str) for value in chunk):
            return False
        counts.update(chunk)
        if len(counts) > most or "" in counts or any(map(FRACTION.fullmatch, counts)):
            return False
    return len(counts) >= 2 and min(counts.values()) >= 5 and all(map(is_writable, [name, *counts]))


def _stated(table: Table, wanted: str | tuple[str, str]) -> list[str]:
    """Return the names that were stated; `premise,hypothesis` is a pair unless a column has this name."""
    if not isinstance(wanted, str):
        return list(map(clean_name, wanted))
    name, parts = clean_name(wanted), list(map(clean_name, wanted.split(",")))
    return [name] if name in table.columns or len(parts) != 2 or not all(parts) else parts


def existing_column(table: Table, wanted: str, kind: str) -> str:
    """Return the column of this name; DataError with the nearest one when there is none."""
    name = clean_name(wanted)
    if name in table.columns and is_writable(name):
        return name
    hint = f"{did_you_mean(name, table.columns)} Columns: {', '.join(table.columns)}.".strip()
    raise data_error("DATA-024", table.origin, f'there is no {kind} column "{name}".', hint)


def named_columns(table: Table) -> list[str]:
    """Return the columns whose names can be written as UTF-8."""
    return [name for name in table.columns if is_writable(name)]


def by_lower(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names by their form without case."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.casefold(), []).append(name)
    return found


def only_column(table: Table, names: Sequence[str], kind: str) -> str:
    """Return the only column with a usual name, or, of several that differ by case, the one in lower case."""
    if len(names) == 1:
        return names[0]
    small = [name for name in names if name.islower()]
    if len(small) != 1:
        text = f"the columns {' and '.join(names)} differ only by case, and either may be the {kind}."
        raise data_error("DATA-025", table.origin, text, f"Name one with --{kind}-column.")
    return small[0]


def _known_pair(table: Table, known: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """Return two columns with the usual names of a pair; those named by number or letter must hold words."""
    for first, second in PAIR_NAMES:
        if len(known.get(first, ())) == len(known.get(second, ())) == 1:
            return known[first][0], known[second][0]
    bare = {re.sub(r"[_ -]", "", name): names[0] for name, names in known.items() if len(names) == 1}
    for name in bare:
        partner = bare.get(name[:-1] + SECOND.get(name[-1:], "?"))
        if partner and STEM.fullmatch(name) and name[:-1] not in label_columns():
            pair = bare[name], partner
            if all(_holds_words(list(map(str, table.columns[column][:50]))) for column in pair):
                return pair
    return None


def _with_title(known: Mapping[str, Sequence[str]], tables: Sequence[Table]) -> tuple[str, str] | None:
    """Return (a title, the text below it) where each text of all tables has one of its own."""
    both = [next((known[name] for name in names if name in known), []) for names in (HEADING_NAMES, HEADED_NAMES)]
    if any(len(written) != 1 for written in both):
        return None
    title, text = both[0][0], both[1][0]
    fits = all({title, text} <= set(table.columns) and _are_titles(table, title) for table in tables)
    return (title, text) if fits else None


def _are_titles(table: Table, name: str) -> bool:
    """Say whether a column has words in every row, mostly unlike: the name of a product is no title of a text."""
    head = list(islice(cells(table, name), MOST_LOOKED_AT))
    if not all(isinstance(value, str) for value in head) or 2 * len(set(head)) <= len(head):
        return False
    return _holds_words(head) and not any(map(is_missing, cells(table, name)))


def _widest(table: Table) -> str:
    """Return the column with the longest texts; DataError when the names and the first rows do not show one."""
    names = [name for name in named_columns(table) if name.casefold() not in label_columns()]
    heads = {name: table.columns[name][:50] for name in names}
    strings = {name: head for name, head in heads.items() if all(isinstance(value, str) for value in head)}
    widths = {name: sum(map(len, head)) for name, head in strings.items() if not _unreadable(table, name)}
    if not widths or len(table.columns) == 1:
        inside = [field for name in names for field in proposed_texts(table, name)]
        raise no_column(table, "text", f" It may be {as_flags('--text-column', inside)}." if inside else "")
    # An address or a hash is longer than a headline but has no spaces.
    words = {name: width for name, width in widths.items() if _holds_words(heads[name])}
    return max(words or widths, key=lambda name: widths[name])


def _holds_words(values: Sequence[str]) -> bool:
    return 2 * sum(len(value.split()) > 1 for value in values) >= len(values)


def _readable(table: Table, name: str) -> str:
    """Return the column; DataError when its first rows show that it does not hold texts."""
    head = table.columns[name][:50]
    fields = (
        as_flags("--text-column", proposed_texts(table, name)) if any(isinstance(one, dict) for one in head) else ""
    )
    if fields:
        text = f"column {name} holds objects, and the text is a field of them."
        raise data_error("DATA-027", table.origin, text, f"It may be {fields}.")
    if any(isinstance(value, list | tuple | dict) for value in head):
        text = f"column {name} holds lists; token tasks (a label for each word) are not supported."
        raise data_error("DATA-027", table.origin, text, ONE_TEXT)
    reason = _unreadable(table, name)
    if reason:
        others = ", ".join(other for other in table.columns if other != name)
        hint = f"Name the text column with --text-column. Others: {others or 'none'}."
        raise data_error("DATA-029", table.origin, f"column {name} {reason}, so it is not the text.", hint)
    return name


def _unreadable(table: Table, name: str) -> str:
    """Return why a column cannot be the text, judged by its first rows; empty when it can."""
    values = [str(value) for value in islice(cells(table, name), MOST_LOOKED_AT) if not is_missing(value)]
    if len(values) < FEWEST_JUDGED:
        return ""
    all_differ = len(set(map(label_text, values))) == len(values)
    if all(map(NUMBER.fullmatch, values)):
        are_whole = all(WHOLE.fullmatch(label_text(value)) for value in values)
        return "holds whole numbers that all differ" if all_differ and are_whole else "holds numbers"
    if IDENTITY.fullmatch(name) and all_differ and not any(len(value.split()) > 1 for value in values):
        return "identifies the rows and holds no words"
    return ""


def no_column(table: Table, kind: str, also: str = "") -> DataError:
    """Return the error of a table whose names do not show the column of this kind; `also` is added to its hint."""
    named = f"Columns: {', '.join(table.columns)}. Name it with --{kind}-column.{also}"
    text = f"the names do not show which column is the {kind}."
    return data_error("DATA-025", table.origin, text, wrong_separator(list(table.columns)) or named)
