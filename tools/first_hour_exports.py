"""The exports of first_hour.py, by the documented formats of Label Studio, Prodigy and doccano."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from first_hour_cases import array, case, lines, table
from first_hour_texts import ENGLISH, STARS, several, texts

GOOD = ("bad", "great")


def _task(number: int, text: str, kind: str, value: Any) -> dict[str, Any]:
    """Return a task of Label Studio's JSON with one annotation (labelstud.io/guide/export)."""
    result = {"value": {kind: value}, "id": f"r{number}", "from_name": "label", "to_name": "text", "type": kind}
    annotation = {
        "id": 500 + number, "completed_by": 1, "result": [result], "was_cancelled": False, "ground_truth": False,
        "created_at": "2026-10-01T10:00:00Z", "updated_at": "2026-10-01T10:00:00Z", "lead_time": 4.2,
    }  # fmt: skip
    return {
        "id": number, "annotations": [annotation], "file_upload": "x.csv", "drafts": [], "predictions": [],
        "data": {"text": text}, "meta": {}, "created_at": "2026-10-01T09:00:00Z", "project": 1, "inner_id": number,
    }  # fmt: skip


@case("ls_choices.json", "Label Studio, JSON: a choice, 3 tasks without annotation", "classification", 83, 2, dropped=3)
def _ls_choices(path: Path) -> None:
    found = texts(ENGLISH, 83, 40, GOOD)
    tasks = [_task(number, text, "choices", [label]) for number, (text, label) in enumerate(found)]
    for task in tasks[:3]:
        task["annotations"] = []
    array(path, tasks)


@case("ls_several.json", "Label Studio, JSON: several choices", "multi_label", 90, 4)
def _ls_several(path: Path) -> None:
    array(path, [_task(number, text, "choices", tags) for number, (text, tags) in enumerate(several(90, 41))])


@case("ls_rating.json", "Label Studio, JSON: a rating", "classification", 90, 5)
def _ls_rating(path: Path) -> None:
    found = enumerate(texts(ENGLISH, 90, 42))
    array(path, [_task(number, text, "rating", STARS.index(label) + 1) for number, (text, label) in found])


def _plain(number: int, text: str, value: Any) -> dict[str, Any]:
    """Return a row of Label Studio's JSON-MIN and CSV."""
    return {
        "text": text, "id": number, "sentiment": value, "annotator": 1, "annotation_id": 500 + number,
        "created_at": "2026-10-01T10:00:00Z", "updated_at": "2026-10-01T10:00:00Z", "lead_time": 3.1 + number / 10,
    }  # fmt: skip


@case("ls_min.json", "Label Studio, JSON-MIN: a choice", "classification", 80, 2)
def _ls_min(path: Path) -> None:
    array(path, [_plain(number, text, label) for number, (text, label) in enumerate(texts(ENGLISH, 80, 43, GOOD))])


@case(
    "ls_min_several.json", "Label Studio, JSON-MIN: several choices, an object in the cell", "multi_label", 90, 4,
    knows={"--label-column": "topic"},
)  # fmt: skip
def _ls_min_several(path: Path) -> None:
    rows = []
    for number, (text, tags) in enumerate(several(90, 44)):
        row = _plain(number, text, "")
        del row["sentiment"]
        rows.append({**row, "topic": {"choices": tags} if len(tags) > 1 else tags[0]})
    array(path, rows)


@case("ls.csv", "Label Studio, CSV: a choice", "classification", 80, 2)
def _ls_csv(path: Path) -> None:
    rows = [_plain(number, text, label) for number, (text, label) in enumerate(texts(ENGLISH, 80, 45, GOOD))]
    names = ["annotation_id", "annotator", "created_at", "id", "lead_time", "sentiment", "text", "updated_at"]
    table(path, names, [[row[name] for name in names] for row in rows])


@case(
    "ls_several.csv", 'Label Studio, CSV: several choices, {"choices": [...]} in the cell', "multi_label", 90, 4,
    knows={"--label-column": "topic"},
)  # fmt: skip
def _ls_several_csv(path: Path) -> None:
    rows = [
        (500 + number, 1, text, json.dumps({"choices": tags}) if len(tags) > 1 else tags[0])
        for number, (text, tags) in enumerate(several(90, 46))
    ]
    table(path, ["annotation_id", "annotator", "text", "topic"], rows)


def _hashes(number: int) -> dict[str, int]:
    return {"_input_hash": 90001 + number, "_task_hash": 70001 + number}


@case("prodigy.jsonl", "Prodigy, textcat.teach: one label, accepted or rejected", "classification", 90, 2)
def _prodigy(path: Path) -> None:
    answers = {"great": "accept", "bad": "reject"}
    lines(path, [
        {"text": text, **_hashes(number), "label": "PRAISE", "score": 0.5, "priority": 0.5, "spans": [],
         "meta": {"score": 0.5}, "_view_id": "classification", "answer": answers[label], "_timestamp": 1700000000}
        for number, (text, label) in enumerate(texts(ENGLISH, 90, 47, GOOD))
    ])  # fmt: skip


def _choice(number: int, text: str, accept: Sequence[str], options: Sequence[str], answer: str) -> Mapping[str, Any]:
    return {
        "text": text, **_hashes(number), "options": [{"id": name, "text": name} for name in options],
        "_view_id": "choice", "config": {"choice_style": "multiple"}, "accept": list(accept), "answer": answer,
    }  # fmt: skip


@case("prodigy_manual.jsonl", "Prodigy, textcat.manual: a choice, 5 ignored", "classification", 90, 5, dropped=5)
def _prodigy_manual(path: Path) -> None:
    rng = random.Random(48)
    ignored = set(rng.sample(range(90), 5))
    found = enumerate(texts(ENGLISH, 90, 48))
    lines(path, [
        _choice(number, text, [label], STARS, "ignore" if number in ignored else "accept")
        for number, (text, label) in found
    ])  # fmt: skip


@case("prodigy_several.jsonl", "Prodigy, textcat.manual: several choices", "multi_label", 90, 4)
def _prodigy_several(path: Path) -> None:
    options = ["billing", "refund", "delivery", "login"]
    found = enumerate(several(90, 49))
    lines(path, [_choice(number, text, tags, options, "accept") for number, (text, tags) in found])


@case("doccano.jsonl", "doccano, JSONL: a list of one label", "classification", 80, 2)
def _doccano(path: Path) -> None:
    found = enumerate(texts(ENGLISH, 80, 50, GOOD))
    lines(path, [{"id": number, "text": text, "label": [label], "Comments": []} for number, (text, label) in found])


@case("doccano_several.jsonl", "doccano, JSONL: lists of labels", "multi_label", 90, 4)
def _doccano_several(path: Path) -> None:
    found = enumerate(several(90, 51))
    lines(path, [{"id": number, "text": text, "label": tags, "Comments": []} for number, (text, tags) in found])


@case("doccano.csv", "doccano, CSV: a label", "classification", 80, 2)
def _doccano_csv(path: Path) -> None:
    table(
        path,
        ["id", "text", "label"],
        [(n, text, label) for n, (text, label) in enumerate(texts(ENGLISH, 80, 52, GOOD))],
    )


@case("doccano_several.csv", "doccano, CSV: labels joined by #", "multi_label", 90, 4)
def _doccano_several_csv(path: Path) -> None:
    table(
        path,
        ["id", "text", "label"],
        [(n, text, "#".join(sorted(tags))) for n, (text, tags) in enumerate(several(90, 53))],
    )


@case("array.json", "one JSON array", "classification", 80, 2)
def _array(path: Path) -> None:
    array(path, [{"text": text, "sentiment": label} for text, label in texts(ENGLISH, 80, 54, GOOD)])


@case("array.jsonl", "one JSON array under the name of lines", "classification", 80, 2)
def _array_as_lines(path: Path) -> None:
    array(path, [{"text": text, "sentiment": label} for text, label in texts(ENGLISH, 80, 55, GOOD)])


@case("lines.json", "one object a line under the name of a document", "classification", 80, 2)
def _lines_as_json(path: Path) -> None:
    lines(path, [{"text": text, "sentiment": label} for text, label in texts(ENGLISH, 80, 56, GOOD)])
