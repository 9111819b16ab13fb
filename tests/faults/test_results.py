"""A damaged results.json is never a bug of lightune: the report says what is wrong with it, or shows it."""

from __future__ import annotations

import copy
import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from damage import every_place

from example_record import example_predictions, example_record
from lightune.cli.main import main

VALUES: list[Any] = [None, -1, 0, 10**18, 1e308, float("nan"), "", "x", [], {}, [1], {"a": 1}, True]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with results.json and predictions.csv."""
    predictions = example_predictions()
    with (tmp_path / "predictions.csv").open("w", encoding="utf-8", newline="") as sink:
        writer = csv.DictWriter(sink, list(predictions[0]))
        writer.writeheader()
        writer.writerows(predictions)
    (tmp_path / "results.json").write_text(example_record().model_dump_json(), encoding="utf-8")
    return tmp_path


@pytest.mark.guarantee("A damaged results.json ends with exit 4 and says what is wrong, or is shown")
@pytest.mark.parametrize("count", [8, pytest.param(500, marks=pytest.mark.faults)])
def test_a_wrong_value_in_results_is_no_bug(
    run: Path, capsys: pytest.CaptureFixture[str], count: int, record_property: Any
) -> None:
    value, draw, refused = json.loads((run / "results.json").read_bytes()), random.Random(4), 0
    places = list(every_place(value))
    fixed: list[tuple[tuple[str | int, ...], Any]] = [(("recipe", name), 7) for name in ("data", "method", "training")]
    drawn = [(draw.choice(places), draw.choice(VALUES)) for _ in range(count - len(fixed))]
    for place, wrong in [*fixed, *drawn]:
        changed = copy.deepcopy(value)
        parent: Any = changed
        for step in place[:-1]:
            parent = parent[step]
        parent[place[-1]] = wrong
        (run / "results.json").write_text(json.dumps(changed), encoding="utf-8")
        status = main(["report", str(run)])
        assert status in (0, 4), (place, wrong, capsys.readouterr().err)
        refused += status == 4
    assert refused >= len(fixed)
    record_property("figure", f"{count:,} wrong values, {refused:,} of them refused with exit 4, no bug")


def test_a_file_nested_too_deep_or_with_a_name_twice_is_refused(run: Path) -> None:
    for raw in ("[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, '{"status": "completed", "status": "completed"}'):
        (run / "results.json").write_text(raw, encoding="utf-8")
        assert main(["report", str(run)]) == 4
