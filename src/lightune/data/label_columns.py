"""Which column of a table holds the labels, or which several columns hold one label or one number each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from lightune.bounded import first_twin
from lightune.data.cells import cells
from lightune.data.columns import by_lower, existing_column, named_columns, no_column, only_column
from lightune.data.proposals import as_flags, proposed_labels
from lightune.data.tables import Table
from lightune.errors import shortlist
from lightune.faults import Fault, data_error
from lightune.tasks.base import Task
from lightune.tasks.label_sets import is_flag
from lightune.values.missing import is_missing
from lightune.values.numerals import NUMBER

FEWEST_FLAGS = 2
NEARLY = 0.9  # of the cells are 0 or 1: the others are slips
MOST_LOOKED_AT = 1000
MOST_NAMED = 6
MOST_CLASSES = 20


def label_columns(
    table: Table, wanted: Sequence[str] | None, texts: Sequence[str], usual: Sequence[str]
) -> tuple[list[str], bool]:
    """Return (the label column, or several; whether they were guessed); DataError when there is none.

    Unless stated, it is the first with one of the `usual` names, else the only column beside the texts, else the two
    or more columns that hold nothing but 0 and 1, unless another column has values that repeat and may be the label.
    """
    if wanted is not None:
        return _stated(table, wanted, texts), False
    named = label_by_name(table, texts, usual)
    if named is not None:
        return [named], True
    others = [name for name in named_columns(table) if name not in texts]
    if len(others) == 1 and not _holds_fields(table, others[0], texts):
        return others, True
    flags = [name for name in others if _holds_flags(table, name)]
    rivals = [name for name in others if name not in flags and _repeats(table, name)]
    if len(flags) < FEWEST_FLAGS or rivals:
        may_be = as_flags("--label-column", proposed_labels(table, texts))
        proposal = f" It may be {may_be}." if may_be else ""
        raise no_column(table, "label", f"{proposal}{_how_to_name(table, others, flags)}")
    return flags, True


def _holds_fields(table: Table, name: str, texts: Sequence[str]) -> bool:
    """Say whether a column holds objects of which a field may be the label."""
    return any(found.startswith(f"{name}.") for found in proposed_labels(table, texts))


def label_by_name(table: Table, texts: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the column with the first of the `usual` names, text columns left out, or None."""
    known = by_lower(name for name in named_columns(table) if name not in texts)
    return next((only_column(table, known[name], "label") for name in usual if name in known), None)


def other_labels(table: Table, texts: Sequence[str], labels: Sequence[str]) -> str:
    """Return a note on the columns that may be the label just as well as those that were guessed, "" where none may."""
    others = [name for name in proposed_labels(table, [*texts, *labels], MOST_CLASSES) if name in table.columns]
    return f"If another column is the label: {as_flags('--label-column', others)}." if others else ""


def columns_of_target(table: Table, wanted: Sequence[str], task: Task) -> list[str]:
    """Return the columns of a table that hold the task's targets: the wanted ones, unless it has others instead.

    A file may have one column for each label where training had lists, and the other way round.
    """
    if all(name in table.columns for name in wanted):
        return list(wanted)
    return list(task.instead_of_column(list(table.columns))) or _in_one(table, wanted, task) or list(wanted)


def _in_one(table: Table, wanted: Sequence[str], task: Task) -> list[str]:
    """Return the only column with a usual name that holds in its first row what several columns hold in training."""
    known = by_lower(named_columns(table))
    found = [known[name][0] for name in task.label_columns if len(known.get(name, ())) == 1]
    if len(wanted) < FEWEST_FLAGS or set(wanted) & set(table.columns) or not found or not len(table):
        return []
    read = task.reader(table.class_names.get(found[0], ()))
    return found[:1] if not isinstance(read(table.columns[found[0]][0]), Fault) else []


def own_order(table: Table, names: Sequence[str], task: Task) -> list[str]:
    """Return several label columns in the task's own order: targets are read by position.

    DataError where some, but not all, have the names that the task knows.
    """
    own = list(task.instead_of_column([*task.config()["id2label"].values()]))
    missing = [name for name in own if name not in names]
    if len(missing) == len(own) or not own:
        return list(names)
    if not missing and len(names) == len(own):
        return own
    absent = shortlist([name for name in missing if name not in table.columns], MOST_NAMED)
    if absent:
        text, hint = f"there is no column {absent}, which the model answers too.", "Add it: 0 where it does not apply."
    else:
        told = f"misses {shortlist(missing, MOST_NAMED)}" if missing else "holds others too"
        text = f"the model answers {len(own)} columns together, and --label-columns {told}."
        hint = "Leave it out: the model knows its own columns."
    raise data_error("DATA-024", table.origin, text, hint)


def _stated(table: Table, wanted: Sequence[str], texts: Sequence[str]) -> list[str]:
    names = [existing_column(table, name, "label") for name in wanted]
    twice = first_twin(names)
    if twice is not None:
        text = f"the label column {twice} is named twice."
        raise data_error("DATA-026", table.origin, text, f"Columns: {', '.join(table.columns)}.")
    both = next((name for name in names if name in texts), None)
    if both is not None:
        text = f"column {both} cannot be both the text and the label."
        raise data_error("DATA-026", table.origin, text, f"Columns: {', '.join(table.columns)}.")
    return names


def _holds_flags(table: Table, name: str, least: float = 1.0) -> bool:
    """Say whether this share of a column or more is 0 and 1 (or true and false), by default all of it."""
    values, found = cells(table, name), 0
    while chunk := list(islice(values, MOST_LOOKED_AT)):
        found += sum(map(is_flag, chunk))
        if least == 1.0 and not all(map(is_flag, chunk)):
            return False
    return len(table) > 0 and found >= least * len(table)


def _repeats(table: Table, name: str) -> bool:
    """Say whether a column has values that occur more than once, as labels do and names of rows do not."""
    held = [str(value) for value in islice(cells(table, name), MOST_LOOKED_AT) if not is_missing(value)]
    return 1 < len(set(held)) < len(held)


def _how_to_name(table: Table, others: Sequence[str], flags: Sequence[str]) -> str:
    """Return how several columns are named together, where there are such columns; else an empty string."""
    nearly = [name for name in others if name in flags or _holds_flags(table, name, NEARLY)]
    if len(nearly) >= FEWEST_FLAGS:
        more = ",..." if len(nearly) > MOST_NAMED else ""
        return f" If each of these is a label: --label-columns {','.join(nearly[:MOST_NAMED])}{more}"
    numbers = [name for name in others if _holds_numbers(table, name)]
    if len(numbers) < FEWEST_FLAGS or len(numbers) > MOST_NAMED:
        return ""
    return f" To predict several numbers together: --label-columns {','.join(numbers)}"


def _holds_numbers(table: Table, name: str) -> bool:
    held = [str(value) for value in islice(cells(table, name), MOST_LOOKED_AT) if not is_missing(value)]
    return bool(held) and all(map(NUMBER.fullmatch, held))
