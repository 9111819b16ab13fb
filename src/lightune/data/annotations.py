"""What annotation tools export, as rows: Label Studio's tasks, and Prodigy's answers.

Formats: labelstud.io/guide/export (JSON), prodi.gy/docs/api-interfaces (textcat and choice). doccano's exports are
plain tables already.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOT_ANNOTATED = "without annotation"
NOT_ACCEPTED = "rejected or ignored in Prodigy"
PRODIGY = ("_task_hash", "answer")

Record = Mapping[str, Any]


@dataclass
class Annotated:
    """Rows of an export with the number of their record, how many records gave none by reason, and notes.

    `odd` are the numbers of records that are not as the tool writes them.
    """

    rows: list[tuple[int, Record]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    odd: list[int] = field(default_factory=list)


def label_studio_rows(records: Sequence[Any]) -> Annotated | None:
    """Return the rows of Label Studio's JSON, one for each annotation that was not cancelled; None for other JSON.

    A row has the task's data, and for each control of the labelling page (from_name) its choices, rating or number.
    """
    if not records or not all(map(_is_task, records)):
        return None
    found = Annotated()
    for number, task in enumerate(records, 1):
        if not all(map(_is_annotation, task["annotations"])):
            found.odd.append(number)
            continue
        done = [one for one in task["annotations"] if not one.get("was_cancelled")]
        found.skipped[NOT_ANNOTATED] += not done
        found.rows += [(number, {**task["data"], **_controls(one.get("result", []))}) for one in done]
    found.skipped = +found.skipped
    found.notes.append(f"Label Studio's export: {len(found.rows):,} annotations of {len(records):,} texts.")
    return found


def choices_of(value: Any) -> Any:
    """Return the labels of Label Studio's cell for several choices, {"choices": [...]}, and any other value unchanged.

    Its CSV has the object as text; JSON-MIN has it as it is, beside plain texts for a single choice.
    """
    if isinstance(value, str) and value.startswith('{"choices":'):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    is_choices = isinstance(value, Mapping) and set(value) == {"choices"} and isinstance(value["choices"], list)
    return value["choices"] if is_choices else value


def one_label(records: Iterable[Record]) -> str:
    """Return the only label of Prodigy's yes-or-no answers, of which some are no; "" where there are others.

    A rejected answer to one label is an example without it. Of several labels it leaves open which one holds.
    """
    labels, answers = set[str](), set[str]()
    for record in records:
        if not all(name in record for name in PRODIGY) or "options" in record or "accept" in record:
            return ""
        labels.add(str(record.get("label", "")))
        answers.add(record["answer"])
        if len(labels) > 1:
            return ""
    return labels.pop() if labels and "reject" in answers else ""


def without(label: str, record: Record) -> Record:
    """Return a rejected answer to the only label as an example without it."""
    return {**record, "label": f"not {label}"}


def are_on_one_label(label: str, values: Iterable[Any]) -> bool:
    """Say whether the labels of a file are examples with and without this label, as another file's are."""
    return {value for value in values if isinstance(value, str)} <= {label, f"not {label}"}


def is_rejected(record: Record) -> bool:
    """Say whether a record is an answer of Prodigy that was rejected or ignored: its label does not hold."""
    return all(name in record for name in PRODIGY) and record["answer"] in ("reject", "ignore")


def _is_task(record: Any) -> bool:
    is_task = isinstance(record, Mapping) and isinstance(record.get("data"), Mapping)
    return is_task and isinstance(record.get("annotations"), list)


def _is_annotation(one: Any) -> bool:
    results = one.get("result", []) if isinstance(one, Mapping) else None
    return isinstance(results, list) and all(map(_is_result, results))


def _is_result(result: Any) -> bool:
    value = result.get("value", {}) if isinstance(result, Mapping) else None
    if not isinstance(value, Mapping):
        return False
    lists = [value.get(name, []) for name in ("choices", "taxonomy")]
    paths = lists[1] if isinstance(lists[1], list) else []
    are_texts = all(isinstance(path, list) and all(isinstance(part, str) for part in path) for path in paths)
    return are_texts and all(isinstance(one, list) for one in lists)


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
