"""The check of a data set on the terminal: verdict, faults, warnings, then what the data looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from lightune.data.findings import Findings, Lengths
from lightune.errors import shortlist
from lightune.faults import MOST_SHOWN, Fault
from lightune.report import words
from lightune.report.summary import print_line, print_table, print_text
from lightune.report.tables import Table
from lightune.tasks.overview import Overview

BLOCK, HALF = "█▌"  # of bars
SHORTEST_BAR = 4
MOST_COLUMNS = 8


def print_findings(found: Findings, console: Console, then: str | None = None) -> None:
    """Print what the check found, and the command that comes next."""
    print_text(console, _verdict(found), "bold" if found.usable else "bold red")
    for title, faults, style in (("fault", found.faults, "red"), ("warning", found.warnings, "yellow")):
        _print_faults(console, title, faults, style)
    for table in _tables(found, console.width):
        console.print()
        print_table(table, console)
    console.print()
    for name, text in _lines(found):
        print_line(console, name, text)
    if then is not None:
        print_line(console, "next", then)


def _verdict(found: Findings) -> str:
    faults, warnings = len(found.faults), len(found.warnings)
    warned = f"{_count(warnings, 'warning')}" if warnings else "no warnings"
    if found.usable:
        return f"{found.source}: no faults, {warned}. The data can be used."
    return f"{found.source}: {_count(faults, 'fault')}, {warned}. The data cannot be used yet."


def _count(number: int, noun: str) -> str:
    return f"{words.count(number)} {noun}{'s' * (number != 1)}"


def _print_faults(console: Console, title: str, faults: Sequence[Fault], style: str) -> None:
    """Print at most ten of each kind, the code in the style; consecutive faults with the same hint show it once."""
    for code in dict.fromkeys(fault.code for fault in faults):
        kind = [fault for fault in faults if fault.code == code]
        console.print()
        for number, fault in enumerate(kind[:MOST_SHOWN]):
            name, told = f"{title} {code}" if not number else "", f"{fault.place}: {fault.text}".removeprefix(": ")
            print_line(console, name, told, style)
            following = kind[number + 1].hint if number + 1 < len(kind[:MOST_SHOWN]) else None
            if fault.hint and fault.hint != following:
                print_line(console, "", f"-> {fault.hint}")
        if len(kind) > MOST_SHOWN:
            print_line(console, "", f"and {words.count(len(kind) - MOST_SHOWN)} more")


def _tables(found: Findings, width: int) -> Iterator[Table]:
    yield from (_overview(table, width) for table in found.overviews)
    if found.words:
        yield _lengths("words a text", found.words)
    if found.tokens:
        yield _lengths(f"tokens of {found.model}", found.tokens, found.limit)


def _overview(found: Overview, width: int) -> Table:
    """Return a table of an overview; its bars, in columns without a name, are shortened until the figures fit too."""
    columns = list(zip(found.columns, *found.rows, strict=True))
    bars = [place for place, name in enumerate(found.columns) if place and not name.strip()]
    if not bars:
        return Table("", found.columns, found.rows)
    figures = sum(2 + max(7, *map(len, column)) for place, column in enumerate(columns) if place not in bars)
    longest = max(len(cell.rstrip()) for place in bars for cell in columns[place])
    scale = min(1.0, max(SHORTEST_BAR, (width - figures) // len(bars) - 2) / max(longest, 1))
    rows = [[_bar(cell, scale) if place in bars else cell for place, cell in enumerate(row)] for row in found.rows]
    return Table("", found.columns, rows)


def _bar(bar: str, scale: float) -> str:
    halves = round(scale * (2 * bar.count(BLOCK) + bar.count(HALF)))
    return BLOCK * (halves // 2) + HALF * (halves % 2)


def _lengths(title: str, splits: dict[str, Lengths], limit: int | None = None) -> Table:
    rows = []
    for split, found in splits.items():
        figures = [words.number(value, 0) for value in (found.p50, found.p90, found.p99, found.longest)]
        rows.append([split, *figures, *([words.count(found.cut)] if limit else [])])
    over = [f"over {words.count(limit)}"] if limit else []
    return Table("", [title, "median", "90%", "99%", "longest", *over], rows)


def _lines(found: Findings) -> Iterator[tuple[str, str]]:
    if found.columns:
        for kind in ("text", "label"):
            name = found.columns[kind]
            several = kind == "label" and isinstance(name, list)
            flag = f"--{kind}-columns names them" if several else f"--{kind}-column names it"
            guessed = f" (guessed; {flag})" if found.columns[f"{kind}_guessed"] else ""
            joined = shortlist(name, MOST_COLUMNS) if several else " + ".join([name] if isinstance(name, str) else name)
            yield f"{kind} column{'s' * several}", f"{joined}{guessed}"
        if found.columns["groups"]:
            yield "groups", ", ".join(found.columns["groups"])
    if found.language:
        yield "language", found.language["said"]
    yield from _long_texts(found)
    for split, counts in found.rows.items():
        yield f"rows of {split}", counts.words()
    for number, note in enumerate(found.notes):
        yield ("" if number else "notes"), note


def _long_texts(found: Findings) -> Iterator[tuple[str, str]]:
    for split, lengths in found.tokens.items():
        if not lengths.cut or lengths.unread is None:
            continue
        of, limit = f"{words.count(lengths.cut)} of {words.count(lengths.counted)} texts", words.count(found.limit)
        windows = f"about {words.number(lengths.windows, 1)} windows each"
        if found.long_texts == "windows":
            yield f"long in {split}", f"{of}: they are read whole, in {windows}, of {limit} tokens"
            continue
        lost = f"{words.percent(lengths.unread, 0)} of their tokens are not read"
        yield f"cut in {split}", f"{of}: {found.model} reads {limit} tokens of each and no more; {lost}"
        yield "", f"-> --set data.long_texts=windows reads them whole, in {windows}"
