"""A run as a short summary on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Literal

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lightune.faults import is_warning
from lightune.record import RunRecord
from lightune.report import gains, tables, usage, views, words
from lightune.report.files import REPORT_FILE
from lightune.report.next_steps import next_steps
from lightune.report.tables import Table
from lightune.report.wrapping import wrapped
from lightune.sections import Evaluation, TaskRecord, Training

FIRST_COLUMN = 24
MOST_GROUPS = 6
MOST_GROUPINGS = 1
MOST_ROWS = 10
LONGEST_NAME, SHORTEST_NAME = 34, 12
VERDICT_STYLES = {"better": "green", "worse": "red"}  # no clear difference stays plain


def print_summary(record: RunRecord, console: Console) -> None:
    """Print the result of the run: the headline first, then metrics, cost, speed, and where the files are."""
    verdict = record.comparison.gains[record.comparison.rival].verdict
    print_text(console, gains.headline(record), "bold", verdict)
    for sentence in record.comparison.cautions:
        print_text(console, sentence, "yellow")
    print_text(console, gains.before_sentence(record))
    if record.status == "reload_failed":
        print_text(console, f"Reload check {words.reload_sentence(record)}", "bold red")
    details = views.brief(record.after, record.task)
    for table in _tables(record, details):
        console.print()
        print_table(table, console)
    console.print()
    for name, text in _lines(record, details):
        print_line(console, name, text, style="yellow" if is_warning(text) else "")


def _tables(record: RunRecord, details: list[Table]) -> Iterator[Table]:
    results = tables.results(record)
    yield _captioned(results)
    yield from (_captioned(table) for table in details if len(table.rows) <= MOST_ROWS)
    for group in tables.groups(record, MOST_GROUPS)[:MOST_GROUPINGS]:
        found = len(record.after.groups[group.columns[0]])
        cut = f" ({MOST_GROUPS} of {found})" if found > MOST_GROUPS else ""
        yield Table("", [f"by {group.columns[0]}{cut}", *group.columns[1:]], group.rows)
    yield tables.phases(record)
    gpu = tables.gpu_memory(record)
    if gpu:
        yield gpu
    yield tables.inference(record)


def _lines(record: RunRecord, details: list[Table]) -> Iterator[tuple[str, str]]:
    for table in details:
        if len(table.rows) > MOST_ROWS:
            yield _lowered(table.caption), f"the figures of all {len(table.rows)} are in the report"
    yield from ((row[0], row[1]) for row in tables.sizes(record).rows)
    yield from _training(record.training)
    yield from views.lines(record.after, record.task)
    if record.status != "reload_failed":
        yield "reload check", words.reload_sentence(record)
    headline = record.task.headline
    if record.after.groups and headline.by_group:
        yield f"{headline.title} by group", headline.by_group
    yield from (("" if number else "notes", note) for number, note in enumerate(record.notes))
    for number, step in enumerate(next_steps(record)):
        yield ("" if number else "what to do next"), step.text
        if step.command:
            yield "", f"-> {step.command}"
    yield "run folder", record.run_folder
    yield "report", str(PurePath(record.run_folder) / REPORT_FILE)
    yield "use it", usage.predict_command(record)
    stock = usage.saving_code(record, "DIR")
    if stock:
        yield "without lightune", stock
    yield "share it", usage.push_command(record)


def _training(training: Training) -> Iterator[tuple[str, str]]:
    """Yield what was kept, where training went on after an interruption, and that checkpoints were left out."""
    last = len(training.epochs)
    yield "kept", f"epoch {training.best_epoch} of {last}, learning rate {words.learning_rate(training.learning_rate)}"
    for number, one in enumerate(training.resumed):
        again = words.count(one.recomputed_steps)
        told = f"from step {words.count(one.from_step)}; {again} steps were computed a second time"
        yield ("" if number else "went on"), told
    saved = training.checkpoints
    if saved is not None and saved.skipped:
        epochs = f"after {saved.skipped} of {len(training.epochs)} epochs none was written"
        yield "checkpoints", f"{epochs}: all of them would cost more than 1% of the training"


def print_table(table: Table, console: Console) -> None:
    """Print a table; one that is too wide for its figures in several parts, each with the first column."""
    for number, part in enumerate(_parts(table, console.width)):
        if number:
            console.print()
        console.print(drawn(part, console.width))


def _parts(table: Table, width: int) -> Iterator[Table]:
    """Yield the table in parts whose figures fit beside the shortest name; a part has one column of figures or more."""
    lines = [[words.printable(cell) for cell in row] for row in table.rows]
    first = 1
    if len(table.columns) == 1:
        yield table
    while first < len(table.columns):
        last = first + 1
        while last < len(table.columns):
            names = [name.replace(" ", "\n") for name in table.columns[first : last + 1]]
            part = [["", *names], *([row[0], *row[first : last + 1]] for row in lines)]
            if _width_of_figures(part) + SHORTEST_NAME > width:
                break
            last += 1
        columns = [table.columns[0], *table.columns[first:last]]
        yield Table(table.caption, columns, [[row[0], *row[first:last]] for row in table.rows])
        first = last


def drawn(table: Table, width: int) -> RichTable:
    """Return a table for rich: figures aligned right, bars (a column without a name) left, long names cut."""
    names, *rows = ([words.printable(cell) for cell in row] for row in [table.columns, *table.rows])
    figures = _width_of_figures([names, *rows])
    # The tables' first columns have the same width, unless a table needs the space.
    first = FIRST_COLUMN if FIRST_COLUMN + figures <= width else None
    if max(len(words.shortened(row[0], LONGEST_NAME)) for row in [names, *rows]) + figures > width:
        # If even that is too wide, column names of several words take several lines, and then names are cut.
        names[1:] = [name.replace(" ", "\n") for name in names[1:]]
        figures = _width_of_figures([names, *rows])
    room = max(width - figures, SHORTEST_NAME)
    result = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(names):
        justify: Literal["right", "left"] = "right" if index and name else "left"
        shown = name if index else words.shortened(name, room)
        result.add_column(Text(shown), justify=justify, min_width=7 if index else first, no_wrap=True)
    for name, *cells in rows:
        shown_cells = (words.shortened(cell, LONGEST_NAME) for cell in cells)
        result.add_row(Text(words.shortened(name, room)), *map(Text, shown_cells))
    return result


def _width_of_figures(rows: Sequence[Sequence[str]]) -> int:
    """Return the width of all columns but the first; a cell may have several lines."""
    columns = list(zip(*rows, strict=True))[1:]
    return sum(2 + max(7, *(len(line) for cell in column for line in cell.split("\n"))) for column in columns)


def print_text(console: Console, text: str, style: str = "", verdict: str = "") -> None:
    """Print a sentence, wrapped, without trailing spaces; the verdict in it gets its colour."""
    told = wrapped(words.printable(text), console.width)
    lines = [Text(line, style=style) for line in told.split("\n")] if told else []
    last = next((line for line in reversed(lines) if verdict in VERDICT_STYLES and verdict in line.plain), None)
    if last is not None:
        start = last.plain.rindex(verdict)
        last.stylize(VERDICT_STYLES[verdict], start, start + len(verdict))
    for line in lines:
        console.print(line, soft_wrap=True)


def print_line(console: Console, name: str, text: str, name_style: str = "dim", style: str = "") -> None:
    """Print a name and, beside it, a text that wraps in its own column; paths and commands are never broken."""
    width = max(console.width - FIRST_COLUMN, 20)
    lines = wrapped(words.printable(text), width).split("\n")
    for number, line in enumerate(lines or [""]):
        start = ("" if number else name).ljust(FIRST_COLUMN)
        console.print(Text.assemble((start, name_style), (line, style)), soft_wrap=True)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def print_evaluation(found: Evaluation, task: TaskRecord, cautions: Sequence[str], console: Console) -> None:
    """Print one evaluation: cautions, figures, also per label and by group, the confusion matrix, known texts."""
    for sentence in cautions:
        print_text(console, sentence, "yellow")
    shown = views.views(found, task)
    parts = [tables.evaluation(found, task.metrics), *(_captioned(table) for view in shown for table in view.brief())]
    parts += tables.evaluation_groups(found, task.metrics)
    for table in [*parts, *(table for view in shown for table in view.others())]:
        print_table(table, console)
        console.print()
    if found.groups:
        print_text(console, task.headline.by_group)
    for name, text in (line for view in shown for line in view.lines()):
        print_line(console, name, text)
    print_text(console, words.rows_left_out(found))
    print_text(console, words.known_texts(found, task.headline))


def _captioned(table: Table) -> Table:
    """Return a table for the terminal: the caption replaces the first column's name, which saves a line."""
    return Table("", [_lowered(table.caption), *table.columns[1:]], table.rows)
