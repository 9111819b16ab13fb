"""A table that shows what the targets of a data set are, as `lightune check` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Overview:
    """Column names and rows of cells; the first column is text, the others are figures."""

    columns: list[str]
    rows: list[list[str]]


def by_split(first: str, splits: Mapping[str, Mapping[str, list[str]]], figures: list[str]) -> Overview:
    """Return one table of several splits: a row for each name, and for each split its figures of that name.

    `figures` name a split's columns; "" stands for the name of the split itself. A name that a split lacks is blank.
    """
    names = list(dict.fromkeys(name for rows in splits.values() for name in rows))
    columns = [first, *(figure or split for split in splits for figure in figures)]
    blank = [""] * len(figures)
    rows = [[name, *(cell for found in splits.values() for cell in found.get(name, blank))] for name in names]
    return Overview(columns, rows)
