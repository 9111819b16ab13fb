"""Which columns may be meant, as flags to copy: a message proposes, and the user decides."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import islice
from typing import Any

from lightune.data.annotations import choices_of
from lightune.data.cells import cells
from lightune.data.inner_fields import Field, add_fields, field_names
from lightune.data.tables import Table
from lightune.values.label_text import label_text
from lightune.values.missing import is_missing, is_writable
from lightune.values.numerals import NUMBER

MOST_LOOKED_AT = 1000
MOST_PROPOSED = 8


def proposed_labels(table: Table, used: Sequence[str], most: int = MOST_LOOKED_AT) -> list[str]:
    """Return the columns, and fields inside objects, that may hold labels: their values repeat, in most rows.

    `most` is how many different values they may have. Those with the fewest different values come first.
    """
    wide = _with_fields(table)
    names = [name for name in wide.columns if name not in used and is_writable(name)]
    kinds = {name: count for name in names if 0 < (count := _repeated(wide, name)) <= most}
    return sorted(kinds, key=kinds.__getitem__)


def proposed_texts(table: Table, inside: str) -> list[str]:
    """Return the fields inside the objects of a column that hold words, those with the longest texts first."""
    wide = _with_fields(table)
    names = [name for name in wide.columns if name.startswith(f"{inside}.") and name not in table.columns]
    widths = {name: sum(map(len, held)) for name in names if (held := _worded(_held(wide, name)))}
    return sorted(widths, key=widths.__getitem__, reverse=True)


def as_flags(flag: str, names: Sequence[str]) -> str:
    """Return names as flags to copy, "--label-column mood or --label-column 'How was it?'"; "" for none."""
    return " or ".join(f"{flag} {shlex.quote(name)}" for name in names[:MOST_PROPOSED])


def _with_fields(table: Table) -> Table:
    """Return a table that has a column for each field of its objects too."""
    wide = Table(table.origin, dict(table.columns), table.lines)
    add_fields(wide, field_names(table))
    return wide


def _held(table: Table, name: str) -> list[Any]:
    return [choices_of(value) for value in islice(cells(table, name), MOST_LOOKED_AT) if not is_missing(value)]


def _worded(held: Sequence[Any]) -> list[str]:
    """Return the texts where most have several words, else nothing."""
    texts = [value for value in held if isinstance(value, str)]
    return texts if 2 * sum(len(text.split()) > 1 for text in texts) > len(held) else []


def _repeated(table: Table, name: str) -> int:
    """Return how many different values a column has where they repeat as labels do, else 0."""
    held = _held(table, name)
    if any(isinstance(value, dict) for value in held) and not isinstance(table.columns[name], Field):
        held = [value for value in held if not isinstance(value, dict)]
    kinds = len({label_text(value) for value in held})
    are_numbers = all(NUMBER.fullmatch(str(value)) for value in held)
    most = len(held) * (1.0 if are_numbers else 0.5)
    return kinds if 1 < kinds <= most and 2 * len(held) > min(len(table), MOST_LOOKED_AT) and kinds < len(held) else 0
