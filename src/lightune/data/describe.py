"""From a check to its findings: labels, lengths, language and columns, as they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.data import columns
from lightune.data.check import Checked, check_data
from lightune.data.dataset import draw_splits
from lightune.data.encoding import bare_fault
from lightune.data.findings import Findings, Lengths
from lightune.data.language import guess_language
from lightune.data.scan import Scan
from lightune.data.split import Joined
from lightune.data.windows import Unread
from lightune.data.wishes import wishes_of
from lightune.errors import DataError
from lightune.faults import Fault, as_note, faults_of
from lightune.models.token_counter import TokenCounter
from lightune.recipe import Files, Recipe
from lightune.tasks.overview import Overview

# Rows spread evenly over the file: enough for a percentile and for a language.
MOST_TOKENIZED = 20_000
MOST_READ = 2_000
CHUNK = 512


def check_and_describe(recipe: Recipe, counter: TokenCounter | None) -> Findings:
    """Check the data of a recipe as a run would, down to the splits it would draw, and describe it."""
    checked = check_data(recipe.data, wishes_of(recipe))
    faults, notes, rows = list(checked.faults), list(checked.notes), checked.rows
    if not faults:
        try:
            splits = draw_splits(checked, recipe.data, recipe.training.seed)
            told = {checked.guess, *map(as_note, checked.warnings)}
            notes, rows = [note for note in splits.notes if note not in told], splits.rows
        except DataError as error:
            faults += faults_of(error)
    tokens, bare = _tokens(checked, counter) if counter and not faults else ({}, [])
    return Findings(
        source=recipe.data.source.train if isinstance(recipe.data.source, Files) else recipe.data.source,
        faults=faults + bare,
        warnings=checked.warnings,
        notes=notes,
        columns=_columns(checked),
        labels=_labels(checked),
        overviews=_overviews(checked),
        rows=rows,
        words={name: _percentiles(scan.words[scan.rows]) for name, scan in checked.scans.items() if len(scan.rows)},
        tokens=tokens,
        language=_language(checked),
        long_texts=recipe.data.long_texts,
        **_reader(counter),
    )


def _reader(counter: TokenCounter | None) -> dict[str, Any]:
    return {"model": counter.model, "limit": counter.limit} if counter else {}


def _labels(checked: Checked) -> dict[str, dict[str, int]]:
    """Count the usable rows of each file by label, before duplicates are dropped; empty for a task without labels."""
    if checked.task is None:
        return {}
    counts = {split: checked.task.tally(scan.targets[scan.rows]) for split, scan in checked.scans.items()}
    return {split: found for split, found in counts.items() if found}


def _overviews(checked: Checked) -> list[Overview]:
    """Return the task's own tables of the usable rows of each file, before duplicates are dropped."""
    if checked.task is None:
        return []
    found = {split: scan.targets[scan.rows] for split, scan in checked.scans.items() if len(scan.rows)}
    return checked.task.overview(found) if found else []


def _columns(checked: Checked) -> dict[str, Any] | None:
    if checked.tables is None or checked.task is None:
        return None
    train, used = checked.tables.train, [*checked.texts, *checked.labels]
    return {
        "text": checked.texts,
        "text_guessed": checked.guessed[0],
        "label": checked.labels[0] if len(checked.labels) == 1 else checked.labels,
        "label_guessed": checked.guessed[1],
        "groups": columns.group_columns(train, used),
        "others": [name for name in train.columns if name not in used],
    }


def _percentiles(lengths: NDArray[Any]) -> Lengths:
    p50, p90, p99 = (float(value) for value in np.percentile(lengths, [50, 90, 99]))
    return Lengths(len(lengths), p50, p90, p99, int(lengths.max()))


def _of_tokens(lengths: NDArray[Any], counter: TokenCounter, special: int) -> Lengths:
    found, unread = _percentiles(lengths), Unread.of(lengths.tolist(), special, counter.limit)
    if unread is None:
        return replace(found, cut=0)
    cut = int((lengths > counter.limit).sum())
    return replace(found, cut=cut, unread=unread.share, windows=unread.windows)


def _tokens(checked: Checked, counter: TokenCounter) -> tuple[dict[str, Lengths], list[Fault]]:
    """Return the lengths in tokens of each split, and a fault for each counted text that has no tokens."""
    found, bare = {}, []
    for name, scan in checked.scans.items():
        rows = _spread(scan, MOST_TOKENIZED)
        seen = [told for chunk in _chunks(checked, scan, rows) for told in counter.look(chunk)]
        lengths = np.array([length for length, _ in seen], np.int64)
        found[name] = _of_tokens(lengths, counter, counter.backend.num_special_tokens_to_add(len(checked.texts) > 1))
        places = [scan.table.place(row) for row, (_, is_bare) in zip(rows, seen, strict=True) if is_bare]
        bare += [bare_fault(place, counter.model) for place in places]
    return found, bare


def _chunks(checked: Checked, scan: Scan, rows: list[int]) -> Iterator[list[tuple[str, ...]]]:
    texts = Joined([scan.table.columns[name] for name in checked.texts])
    for start in range(0, len(rows), CHUNK):
        yield [texts[row] for row in rows[start : start + CHUNK]]


def _language(checked: Checked) -> dict[str, Any] | None:
    train = checked.scans.get("train")
    if train is None or not len(train.rows):
        return None
    texts = Joined([train.table.columns[name] for name in checked.texts])
    return vars(guess_language(" ".join(texts[row]) for row in _spread(train, MOST_READ)))


def _spread(scan: Scan, most: int) -> list[int]:
    """Return at most `most` of the usable rows, evenly spread."""
    rows = scan.rows
    step = max(1, -(-len(rows) // most))
    return [int(row) for row in rows[::step]]
