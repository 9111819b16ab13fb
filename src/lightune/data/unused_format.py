"""What is stated of files and does not fit any of them: a sheet of a csv, column names of a data set of the Hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lightune.data.tables import Table
from lightune.data.text_file import TextFormat, kind_of
from lightune.faults import Fault

TABLES = ("csv", "tsv", "txt", "xlsx")
MEANT_FOR = {"header_row": TABLES, "column_names": TABLES, "sheet": ("xlsx",)}
BOTH = "--header-row says that a row has the column names, and --column-names that none has"


def kinds_of(tables: Iterable[Table]) -> set[str]:
    """Return what kinds of files tables were read from: .csv, .xlsx."""
    files = (name for table in tables for name in ([part for _, part in table.parts] or [table.origin]))
    return {f".{kind_of(Path(file))}" for file in files}


def unused_format(stated: TextFormat, kinds: set[str], source: str) -> list[Fault]:
    """Return a fault for each statement that fits none of the kinds of files, and for two that contradict each other.

    Files of several kinds may be read together, train.xlsx and test.csv: a statement is for those that it fits.
    """
    faults = []
    for name, meant in MEANT_FOR.items():
        valid = [f".{kind}" for kind in meant]
        if getattr(stated, name) is None or not kinds.isdisjoint(valid):
            continue
        flag, *others = f"--{name.replace('_', '-')}", *valid[:-1]
        meant_for = f"{', '.join(others)} and {valid[-1]}" if others else valid[-1]
        text = f"{flag} is for {meant_for} files, and this is {', '.join(sorted(kinds))}"
        faults.append(Fault("DATA-084", source, text, f"Leave out {flag}."))
    if not faults and stated.header_row and stated.column_names:
        faults.append(Fault("DATA-084", source, BOTH, "Leave out one of the two."))
    return faults
