"""Texts that occur twice: within a split, with two labels, or in two splits.

Two texts are the same when they are equal after case folding, with single spaces, and without punctuation at the ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lightune.data.fingerprints import Values, among
from lightune.data.scan import Scan
from lightune.faults import Fault, beside
from lightune.tasks.base import Task

MOST_PLACES = 3
PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))
REPEATED, CONFLICTING, LEAKED = "DATA-101", "DATA-102", "DATA-103"
REPEATED_IN_TEST, CONFLICTING_IN_TEST = "DATA-112", "DATA-113"
REASONS = (REPEATS, CONTRADICTS, LEAKS) = ("repeated", "labelled in two ways", "found in a later split too")
Rows = NDArray[np.int64]


@dataclass
class Duplicates:
    """Which rows remain when duplicates are dropped from training and validation, how many are dropped, and why."""

    kept: dict[str, Rows]
    leaving: dict[str, dict[str, int]] = field(default_factory=dict)  # by split and reason
    warnings: list[Fault] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What is dropped from training and validation, in words; empty when nothing is."""
        counted = {reason: sum(counts[reason] for counts in self.leaving.values()) for reason in REASONS}
        return ", ".join(f"{count} {what}" for what, count in counted.items() if count)


@dataclass(frozen=True)
class _Twins:
    """Rows that repeat an earlier one of their split, rows whose texts have two labels, and the first twin of each."""

    kept: Rows
    repeated: Rows
    conflicting: Rows
    first_of_repeated: Rows
    first_of_conflicting: Rows


def find_duplicates(scans: Mapping[str, Scan], task: Task, policy: str) -> Duplicates:
    """Compare all usable rows of all splits by their fingerprints.

    Of duplicates in training or validation, the first is kept. Duplicates with different labels are not reliable, so
    all are dropped. A text that is also in a later split is dropped from the earlier one: training gives way to
    validation, and both to test. Test keeps all its rows.
    """
    found = Duplicates({})
    for name, scan in scans.items():
        twins = _twins(scan, task)
        found.kept[name] = scan.rows if name == "test" else twins.kept
        found.leaving[name] = dict.fromkeys(REASONS, 0)
        if name != "test":
            found.leaving[name] |= {REPEATS: len(twins.repeated), CONTRADICTS: len(twins.conflicting)}
        found.warnings += _within(scan, twins, task, policy)
    for earlier, later in PAIRS:
        if earlier in scans and later in scans:
            found.warnings += _between(scans[earlier], found.kept[earlier], scans[later], policy)
    _drop_leaks(scans, found)
    return found


def _drop_leaks(scans: Mapping[str, Scan], found: Duplicates) -> None:
    for name, later in (("train", ("validation", "test")), ("validation", ("test",))):
        if name in scans:
            rows = found.kept[name]
            leaks = np.zeros(len(rows), bool)
            for other in later:
                if other in scans:
                    leaks |= _among(scans[name].normal[rows], scans[other].normal[scans[other].rows])
            found.kept[name] = rows[~leaks]
            found.leaving[name][LEAKS] = int(leaks.sum())


def _among(keys: Values, others: Values) -> NDArray[np.bool_]:
    return among(keys, np.sort(others))


def _twins(scan: Scan, task: Task) -> _Twins:
    rows = scan.rows
    doubled = rows[_standing_twice(scan.normal[rows])]
    _, first, group = np.unique(scan.normal[doubled], return_index=True, return_inverse=True)
    apart = task.contradict(scan.targets[doubled], scan.targets[doubled[first[group]]])
    conflicting = np.bincount(group, apart, minlength=len(first))[group] > 0
    repeated = ~conflicting
    repeated[first] = False
    leaving = np.zeros(len(scan.used), bool)
    leaving[doubled[repeated | conflicting]] = True
    twin = doubled[first[group]]
    return _Twins(rows[~leaving[rows]], doubled[repeated], doubled[conflicting], twin[repeated], twin[conflicting])


def _standing_twice(keys: Values) -> Rows:
    """Return the indices of the keys that occur more than once, in order; they are few, so the rest is cheap."""
    order = np.argsort(keys, kind="stable")
    arranged = keys[order]
    same = arranged[1:] == arranged[:-1]
    twice = np.zeros(len(keys), bool)
    twice[order[1:][same]] = True
    twice[order[:-1][same]] = True
    return np.flatnonzero(twice)


def _within(scan: Scan, twins: _Twins, task: Task, policy: str) -> list[Fault]:
    hint = _remedy(scan.name, policy)
    return [
        *([_repetition(scan, twins, hint)] if len(twins.repeated) else []),
        *([_contradiction(scan, twins, task, hint)] if len(twins.conflicting) else []),
    ]


def _repetition(scan: Scan, twins: _Twins, hint: str) -> Fault:
    rows, first = twins.repeated, twins.first_of_repeated
    pairs = _pairs(scan, rows, scan, first)
    exact = int((scan.exact[rows] == scan.exact[first]).sum())
    text = f"{_texts(len(rows), scan.name, 'repeat')} an earlier one ({_exactly(exact, len(rows))})"
    shown = [f"{there} repeats {other}" for _, there, other in pairs]
    code = REPEATED_IN_TEST if scan.name == "test" else REPEATED
    return Fault(code, pairs[0][0], f"{text}: {_some(shown, len(rows))}.", hint)


def _contradiction(scan: Scan, twins: _Twins, task: Task, hint: str) -> Fault:
    rows = twins.conflicting
    differ = task.contradict(scan.targets[rows], scan.targets[twins.first_of_conflicting])
    others, first = rows[differ], twins.first_of_conflicting[differ]
    pairs = _pairs(scan, others, scan, first)
    shown = [
        f'{there} "{task.shown(scan.targets[row])}", {other} "{task.shown(scan.targets[twin])}"'
        for (_, there, other), row, twin in zip(pairs, others, first, strict=False)
    ]
    text = f"{_texts(len(rows), scan.name, 'occur')} with another label too"
    code = CONFLICTING_IN_TEST if scan.name == "test" else CONFLICTING
    return Fault(code, pairs[0][0], f"{text}: {_some(shown, len(others))}.", hint)


def _between(earlier: Scan, kept: Rows, later: Scan, policy: str) -> list[Fault]:
    rows = kept[_among(earlier.normal[kept], later.normal[later.rows])]
    if not len(rows):
        return []
    exact = int(_among(earlier.exact[rows], later.exact[later.rows]).sum())
    keys, first = np.unique(later.normal[later.rows], return_index=True)
    pairs = _pairs(earlier, rows, later, later.rows[first[np.searchsorted(keys, earlier.normal[rows])]])
    shown = [f"{there} and {other}" for _, there, other in pairs]
    text = f"{_texts(len(rows), earlier.name, 'occur')} in {later.name} too ({_exactly(exact, len(rows))})"
    return [Fault(LEAKED, pairs[0][0], f"{text}: {_some(shown, len(rows))}.", _remedy(earlier.name, policy))]


def _pairs(scan: Scan, rows: Rows, other: Scan, others: Rows) -> list[tuple[str, str, str]]:
    """Return (place, its short form, the short form of the twin's place) of the first rows."""
    found = []
    for row, twin in zip(rows[:MOST_PLACES].tolist(), others[:MOST_PLACES].tolist(), strict=True):
        place, at = scan.table.place(row), other.table.place(twin)
        found.append((place, beside(place, scan.table.place(int(rows[0]))), beside(at, place)))
    return found


def _texts(count: int, split: str, verb: str) -> str:
    return f"{count:,} {split} text{'s' * (count > 1)} {verb}{'s' * (count == 1)}"


def _exactly(exact: int, count: int) -> str:
    return "exactly" if exact == count else f"{f'{exact:,}' if exact else 'none'} exactly"


def _some(shown: Sequence[str], count: int) -> str:
    more = f"; and {count - len(shown):,} more" if count > len(shown) else ""
    return "; ".join(shown) + more


def _remedy(split: str, policy: str) -> str:
    if split == "test":
        return "They stay, and count as often as they occur: no test row is ever dropped."
    if policy == "keep":
        return "They are kept, as data.on_duplicate=keep asks."
    if policy == "error":
        return "Remove them, or pass --set data.on_duplicate=drop."
    name = "training" if split == "train" else split
    return f"A run leaves them out of {name}; --set data.on_duplicate=keep keeps them."
