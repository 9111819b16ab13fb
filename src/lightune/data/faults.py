"""What is wrong with data, as data: a fault has a code, a place, a reason and a remedy; many become one error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lightune.errors import DataError

MOST_SHOWN = 10
ROW_CODES = ("DATA-013", "DATA-014")
PLACE = re.compile(r"(?P<place>\S.*?(?::\d+|\.\w+)): (?P<text>.*)", re.DOTALL)
GUESS = re.compile(r'(?P<guess>Did you mean "[^"]*"\?) (?P<remedy>.*)', re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: a stable code, `file:line` (or the file), the reason, what to do about it."""

    code: str
    place: str
    text: str
    hint: str = ""


def raise_faults(faults: Sequence[Fault]) -> None:
    """Raise one DataError for all faults, at most ten of each code listed; do nothing when there are none."""
    if faults:
        raise as_error(faults)


def as_error(faults: Sequence[Fault]) -> DataError:
    """Return the faults as one DataError, whose code is that of the first."""
    first = faults[0]
    if len(faults) == 1:
        return DataError(first.code, _line(first), first.hint)
    codes = list(dict.fromkeys(fault.code for fault in faults))
    kinds = [[fault for fault in faults if fault.code == code] for code in codes]
    only_rows = set(codes) <= set(ROW_CODES)
    heading = f"{len(faults)} rows cannot be used:" if only_rows else f"{len(faults)} faults:"
    lines = [line for kind in kinds for line in _listed(kind, show_code=len(kinds) > 1)]
    remedies = list(dict.fromkeys(_many(_split_hint(fault)[1]) for fault in faults))
    return DataError(first.code, "\n  ".join([heading, *lines]), "\n".join(filter(None, remedies[:MOST_SHOWN])))


def faults_of(error: DataError) -> list[Fault]:
    """Return what a DataError says as faults: a listed row is one each, anything else is a single one."""
    _, *lines = error.message.split("\n")
    if lines and all(line.startswith("  ") for line in lines):
        return [_fault_of(error, line.strip()) for line in lines]
    return [_fault_of(error, error.message)]


def _fault_of(error: DataError, text: str) -> Fault:
    found = PLACE.fullmatch(text)
    place, reason = (found["place"], found["text"]) if found else ("", text)
    return Fault(error.code, place, reason, error.hint)


def beside(place: str, other: str) -> str:
    """Return a place as it is named where another stands: `line 7` in the same file, else `file:7`."""
    file, _, line = place.rpartition(":")
    return f"line {line}" if file and file == other.rpartition(":")[0] else place


def _listed(kind: Sequence[Fault], show_code: bool) -> list[str]:
    start = f"{kind[0].code} " if show_code else ""
    lines = [f"{start}{_line(fault)} {_split_hint(fault)[0]}".rstrip() for fault in kind[:MOST_SHOWN]]
    return [*lines, *([f"and {len(kind) - MOST_SHOWN} more"] if len(kind) > MOST_SHOWN else [])]


def _line(fault: Fault) -> str:
    return f"{fault.place}: {fault.text}" if fault.place else fault.text


def _split_hint(fault: Fault) -> tuple[str, str]:
    """Return (the guess, which belongs to this fault alone; the remedy, which others share)."""
    found = GUESS.fullmatch(fault.hint)
    return (found["guess"], found["remedy"]) if found else ("", fault.hint)


def _many(remedy: str) -> str:
    return re.sub(r"^Fix the row\b", "Fix the rows", remedy)
