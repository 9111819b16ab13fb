"""What looks wrong with texts: HTML, one character, very long, words for a missing value, all the same."""

from __future__ import annotations

import numpy as np

from lightune.data.scan import ABSENT, ENTITY, HTML, LONG, LONG_TEXT, SHORT, Scan
from lightune.faults import Fault, beside

MOST_PLACES = 3


def text_warnings(scan: Scan, reads_all: bool = False) -> list[Fault]:
    """Return warnings on texts that are HTML, one character, very long (unless the model reads all), or the same."""
    found = [
        *_odd(
            scan, ABSENT, "DATA-116", "say nan, null or the like, as programs write for a missing value",
            "To leave these rows out, unless this is the text: --set data.on_missing=drop_words.",
        ),
        *_odd(scan, HTML, "DATA-108", "hold HTML tags", "Strip the tags, unless the texts to classify have them too."),
        *_odd(
            scan, ENTITY, "DATA-122", "hold characters as HTML writes them, such as &amp;",
            "Turn them into characters (html.unescape in Python), unless the texts to classify have them too.",
        ),
        *_odd(scan, SHORT, "DATA-109", "are one character long", "Is this the right column? See --text-column."),
        *_odd(
            scan, 0 if reads_all else LONG, "DATA-110", f"are longer than {LONG_TEXT:,} characters",
            "A model reads the first few hundred words (data.max_length). To read all: --set data.long_texts=windows.",
        ),
    ]  # fmt: skip
    rows = scan.rows
    if len(rows) > 1 and len(np.unique(scan.normal[rows])) == 1:
        text = f"all {len(rows):,} texts of {scan.name} are the same."
        found.append(Fault("DATA-111", scan.table.origin, text, "Is this the right column? See --text-column."))
    return found


def _odd(scan: Scan, flag: int, code: str, what: str, hint: str) -> list[Fault]:
    rows = np.flatnonzero(scan.oddities & flag)
    if not len(rows):
        return []
    places = [scan.table.place(int(row)) for row in rows[:MOST_PLACES]]
    more = f" and {len(rows) - MOST_PLACES:,} more" if len(rows) > MOST_PLACES else ""
    shown = ", ".join(beside(place, places[0]) for place in places)
    text = f"{scan.name} texts that {what}: {len(rows):,} ({shown}{more})."
    return [Fault(code, places[0], text, hint)]
