"""The rows that Qualtrics and SurveyMonkey write below the column names of their csv exports.

Qualtrics writes the questions in row 2 and import ids in row 3 (qualtrics.com/support, "Understanding Your Dataset").
SurveyMonkey writes the options of a question in row 2; a question with several options has a name over the first only.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

IMPORT_ID = '{"ImportId":'
BELOW_NAMES = 2
FIRST = "Respondent ID"
ANSWERS = ("Response", "Open-Ended Response")

Cells = Sequence[str]


def end_of_qualtrics(lines: Sequence[str], mark: str) -> int:
    """Return the line on which Qualtrics' own rows end: the import ids are the third row; 0 for other files.

    It is counted in lines, because the row of questions may be blank or broken.
    """
    reader, rows = csv.reader(lines, delimiter=mark), 0
    try:
        for cells in reader:
            rows += len(cells) > 1 or any(map(str.strip, cells))
            if rows > BELOW_NAMES:
                return reader.line_num if all(cell.strip().startswith(IMPORT_ID) for cell in cells) else 0
    except csv.Error:
        return 0
    return 0


def names_of_surveymonkey(rows: Sequence[Cells]) -> tuple[str, ...]:
    """Return the names of columns from the two rows that SurveyMonkey writes: "question: option"; none for others."""
    if len(rows) < BELOW_NAMES or not rows[0] or rows[0][0].strip() != FIRST:
        return ()
    above, below = rows[0], rows[1]
    if len(above) != len(below) or below[0].strip() or not any(cell in below for cell in ANSWERS):
        return ()
    names, question = [], ""
    for name, option in zip(above, below, strict=True):
        question = name.strip() or question
        names.append(question if option.strip() in ("", *ANSWERS) else f"{question}: {option.strip()}")
    return tuple(names)


def lines_of(rows: Sequence[Cells]) -> int:
    """Return how many lines rows take; a cell in quotes may hold line breaks."""
    return sum(1 + sum(cell.count("\n") for cell in cells) for cells in rows)
