"""Faults in data as objects: each has a code, a place, a reason and a hint; several are raised as one error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lightune.errors import DataError

MOST_SHOWN = 10
LONGEST_TOLD = 4000  # letters of a reason, and of a hint
ROW_CODES = ("DATA-013", "DATA-014", "DATA-044")
FIX_OR_DROP = "Fix the row, or pass --set data.on_missing=drop."
WARNING = re.compile(r"DATA-1\d\d ")
GUESS = re.compile(r'(?P<guess>Did you mean "[^"]*"\?) (?P<remedy>.*)', re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: a stable code, `file:line` (or the file), the reason, what to do about it."""

    code: str
    place: str
    text: str
    hint: str = ""

    def __post_init__(self) -> None:
        """Shorten what quotes a very long name or cell: a message is for reading."""
        for name, told in (("text", self.text), ("hint", self.hint)):
            if len(told) > LONGEST_TOLD:
                shown = f"{told[:LONGEST_TOLD]}… ({len(told):,} characters)"
                object.__setattr__(self, name, shown)


class Missing(Fault):
    """The fault of a row that lacks its text or its target; data.on_missing says what happens to such rows."""


class FaultsError(DataError):
    """A DataError that keeps the faults it reports."""

    def __init__(self, code: str, message: str, hint: str, faults: Sequence[Fault]) -> None:
        super().__init__(code, message, hint)
        self.faults = tuple(faults)


def data_error(code: str, place: str, text: str, hint: str = "") -> FaultsError:
    """Return the error for one fault."""
    return as_error([Fault(code, place, text, hint)])


def raise_faults(faults: Sequence[Fault]) -> None:
    """Raise one DataError for all faults, at most ten of each code listed; do nothing when there are none."""
    if faults:
        raise as_error(faults)


def as_error(faults: Sequence[Fault]) -> FaultsError:
    """Return the faults as one error, whose code is that of the first."""
    first = faults[0]
    if len(faults) == 1:
        return FaultsError(first.code, _line(first), first.hint, faults)
    codes = list(dict.fromkeys(fault.code for fault in faults))
    kinds = [[fault for fault in faults if fault.code == code] for code in codes]
    only_rows = set(codes) <= set(ROW_CODES)
    heading = f"{len(faults)} rows cannot be used:" if only_rows else f"{len(faults)} faults:"
    lines = [line for kind in kinds for line in _listed(kind, show_code=len(kinds) > 1)]
    remedies = _without_parts(list(dict.fromkeys(_many(_split_hint(fault)[1]) for fault in faults)))
    message, hint = "\n  ".join([heading, *lines]), "\n".join(filter(None, remedies[:MOST_SHOWN]))
    return FaultsError(first.code, message, hint, faults)


def _without_parts(remedies: Sequence[str]) -> list[str]:
    """Leave out what another remedy begins with: "Fix the rows." beside "Fix the rows, or drop them."."""
    begun = [one.rstrip(".") for one in remedies]
    return [
        one
        for one, stem in zip(remedies, begun, strict=True)
        if not any(other.startswith(f"{stem},") for other in remedies)
    ]


def faults_of(error: DataError) -> list[Fault]:
    """Return the faults that an error reports; an error without faults is a single fault without a place."""
    return list(error.faults) if isinstance(error, FaultsError) else [Fault(error.code, "", error.message, error.hint)]


def as_note(warning: Fault) -> str:
    """Return a warning as one line for the notes of runs and evaluations: code, place, reason and hint."""
    told = f"{warning.code} {warning.place}: {warning.text.removesuffix('.')}. {warning.hint}"
    return told.replace(" :", ":", 1).rstrip() if not warning.place else told.rstrip()


def is_warning(note: str) -> bool:
    """Say whether a note is a warning about data, as `as_note` writes it."""
    return WARNING.match(note) is not None


def beside(place: str, other: str) -> str:
    """Return a place relative to another one: `line 7` in the same file, else `file:7`."""
    file, _, line = place.rpartition(":")
    return f"line {line}" if file and file == other.rpartition(":")[0] else place


def _listed(kind: Sequence[Fault], show_code: bool) -> list[str]:
    start = f"{kind[0].code} " if show_code else ""
    lines = [f"{start}{_line(fault)} {_split_hint(fault)[0]}".rstrip() for fault in kind[:MOST_SHOWN]]
    return [*lines, *([f"and {len(kind) - MOST_SHOWN} more"] if len(kind) > MOST_SHOWN else [])]


def _line(fault: Fault) -> str:
    return f"{fault.place}: {fault.text}" if fault.place else fault.text


def _split_hint(fault: Fault) -> tuple[str, str]:
    """Return (the guess, which belongs only to this fault; the remedy, which others share)."""
    found = GUESS.fullmatch(fault.hint)
    return (found["guess"], found["remedy"]) if found else ("", fault.hint)


def _many(remedy: str) -> str:
    return re.sub(r"^Fix the row\b", "Fix the rows", remedy)
