"""A file of first_hour.py: what it is, how it is written, and what a reader of it expects, decided beforehand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Case:
    """A file as somebody has it.

    `task` and `rows` are what the file holds by the way in which it was made, and `dropped` how many of the rows cannot
    be used (without text, repeated): they are stated beside the code that writes the file. `knows` is what its owner
    would answer when asked, by flag: which column is the label. `stumbled` says what went wrong before this was tried.
    """

    file: str
    what: str
    task: str
    rows: int
    write: Callable[[Path], None]
    dropped: int = 0
    knows: Mapping[str, str] = field(default_factory=dict)
    labels: int = 0


CASES: list[Case] = []


def case(
    file: str, what: str, task: str, rows: int, labels: int, dropped: int = 0, knows: Mapping[str, str] = NOTHING
) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register the function that writes a file; `labels` are the different labels, or the numbers of a text."""

    def register(write: Callable[[Path], None]) -> Callable[[Path], None]:
        CASES.append(Case(file, what, task, rows, write, dropped, knows, labels))
        return write

    return register


def table(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    separator: str = ",",
    encoding: str = "utf-8",
    end: str = "\n",
) -> None:
    """Write a text table, quoted where it must be, as spreadsheets do."""
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator=end)
        writer.writerows([header, *rows] if header else rows)


def lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    written = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(written), encoding="utf-8")


def array(path: Path, value: Any) -> None:
    """Write one JSON document."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
