"""Which columns of a file hold the texts for a trained classifier."""

from __future__ import annotations

from collections.abc import Sequence

from lightune.data.columns import text_columns
from lightune.data.tables import Table
from lightune.errors import DataError
from lightune.faults import data_error
from lightune.inference.classifier import Classifier

KINDS = {1: "one text", 2: "a pair of texts"}


def file_columns(classifier: Classifier, table: Table, wanted: str | None = None) -> tuple[list[str], bool]:
    """Return (the column of the text, or the columns of the pair; whether they were guessed).

    These are the `wanted` ones ("premise,hypothesis" is a pair unless a column has exactly that name), else those of
    training if all exist, else those that a check or a run would choose. DATA-041 unless there are as many as the
    classifier takes.
    """
    trained = classifier.text_columns
    if wanted is None and all(name in table.columns for name in trained):
        return text_columns(table, trained[0] if len(trained) == 1 else (trained[0], trained[1]))
    names, is_guess = text_columns(table, wanted, titled=len(trained) > 1)
    if len(names) != len(trained):
        raise _wrong_number(classifier, table, names)
    return names, is_guess


def _wrong_number(classifier: Classifier, table: Table, names: Sequence[str]) -> DataError:
    trained, taken = classifier.text_columns, " and ".join(names)
    columns = f"column{'s' * (len(names) > 1)} {taken} hold{'s' * (len(names) == 1)} {KINDS[len(names)]}"
    text = f"{columns}; this classifier takes {KINDS[len(trained)]} ({', '.join(trained)})."
    option = "--text-column COLUMN" if len(trained) == 1 else "--text-column FIRST,SECOND"
    return data_error("DATA-041", table.origin, text, f"Name it with {option}. Columns: {', '.join(table.columns)}.")
