"""What annotation tools export, as rows: Label Studio's tasks, and Prodigy's answers.

Formats: labelstud.io/guide/export (JSON), prodi.gy/docs/api-interfaces (textcat and choice). doccano's exports are
plain tables already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOT_ANNOTATED = "without annotation"
NOT_ACCEPTED = "rejected or ignored in Prodigy"
PRODIGY = ("_task_hash", "answer")

Record = Mapping[str, Any]


@dataclass
class Annotated:
    """Rows of an export with the number of their record, how many records gave none by reason, and notes."""

    rows: list[tuple[int, Record]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def label_studio_rows(records: Sequence[Any]) -> Annotated | None:
    """Return the rows of Label Studio's JSON, one for each annotation that was not cancelled; None for other JSON.

    A row has the task's data, and for each control of the labelling page (from_name) its choices, rating or number.
    """
    if not records or not all(map(_is_task, records)):
        return None
    found = Annotated()
    for number, task in enumerate(records, 1):
        done = [one for one in task["annotations"] if not one.get("was_cancelled")]
        found.skipped[NOT_ANNOTATED] += not done
        found.rows += [(number, {**task["data"], **_controls(one.get("result", []))}) for one in done]
    found.skipped = +found.skipped
    found.notes.append(f"Label Studio's export: {len(found.rows):,} annotations of {len(records):,} texts.")
    return found


def is_rejected(record: Record) -> bool:
    """Say whether a record is an answer of Prodigy that was rejected or ignored: its label does not hold."""
    return all(name in record for name in PRODIGY) and record["answer"] in ("reject", "ignore")


def _is_task(record: Any) -> bool:
    is_task = isinstance(record, Mapping) and isinstance(record.get("data"), Mapping)
    return is_task and isinstance(record.get("annotations"), list)


def _controls(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the value of each control; choices are a list, several regions of one control are joined into one."""
    found: dict[str, Any] = {}
    for result in results:
        for value in _values(result.get("value", {})):
            name = str(result.get("from_name", "label"))
            both = isinstance(value, list) and isinstance(found.get(name), list)
            found[name] = [*found[name], *value] if both else value
    return found


def _values(value: Mapping[str, Any]) -> Iterator[Any]:
    if "choices" in value:
        yield list(value["choices"])
    elif "taxonomy" in value:
        yield ["/".join(path) for path in value["taxonomy"]]
    else:
        yield from (value[name] for name in ("rating", "number") if name in value)
