"""What separates the columns of a text table: stated by the user, by its first line, or found in the header."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

USUAL = {"csv": ",", "tsv": "\t", "txt": "\t"}
MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LOOKED_AT = 100  # lines below the header that have to agree with it
# Excel writes and reads a first line that names the separator: sep=;
NAMED = re.compile(r'\ufeff?"?sep=(.)"?\r?\n?', re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How the cells of a text table are written.

    The cells of a .tsv are literal, as in the files of GLUE: quotes have no meaning, and a row never continues on the
    next line. In all others cells may be quoted (RFC 4180). `lines_above` counts the lines above the header. `names`
    are those of a file without a header, as the user or the kind of file states them.
    """

    separator: str = ","
    is_literal: bool = False
    lines_above: int = 0
    names: tuple[str, ...] = ()
    are_stated: bool = False  # the names, by the user
    is_found: bool = False  # in the header, although the file's name says another one

    @property
    def marks(self) -> str:
        """What separates the columns, in words."""
        return MARKS.get(self.separator, f'"{self.separator}"')


def layout_of(kind: str, lines: Sequence[str], stated: str | None = None) -> Layout:
    """Return the layout of a file of this kind from its first lines; the stated separator is taken as it is."""
    usual = USUAL[kind]
    named = NAMED.fullmatch(lines[0]) if lines else None
    rows = [line for line in lines[1 if named else 0 :] if line.strip()]
    above = 1 if named else 0
    separator = stated or (named.group(1) if named else _found(usual, rows))
    is_literal = kind == "tsv" and separator == "\t"
    return Layout(separator, is_literal, above, is_found=stated is None and separator != usual)


def _found(usual: str, rows: Sequence[str]) -> str:
    """Return the mark that cuts the header and the rows below it into the same number of cells, two or more.

    The usual one is kept unless another mark does that for more of the rows.
    """
    shares = {mark: _agreement(rows, mark) for mark in (usual, *MARKS)}
    best = max(shares, key=lambda mark: shares[mark])  # the usual one comes first and wins a tie
    return best if shares[best] > max(0.0, shares[usual]) else usual


def _agreement(rows: Sequence[str], mark: str) -> float:
    """Return the share of rows with as many cells as the header, 0 where that has one cell."""
    header, *below = cells_of(rows[: LOOKED_AT + 1], mark) or [[]]
    if len(header) < 2:
        return 0.0
    return sum(len(cells) == len(header) for cells in below) / len(below) if below else 1.0


def cells_of(rows: Sequence[str], mark: str) -> list[list[str]]:
    """Return the cells of lines; those of a row that a quote continues over several lines are one row."""
    try:
        return [cells for cells in csv.reader(rows, delimiter=mark) if cells]
    except csv.Error:
        return []
