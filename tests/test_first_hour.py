"""Files as people have them, read by nothing but what the messages propose; tools/first_hour.py trains on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from first_hour import proposals, read_only, row_faults  # noqa: E402
from first_hour_cases import CASES, Case  # noqa: E402


@pytest.fixture(autouse=True)
def _without_tokens(monkeypatch: pytest.MonkeyPatch):
    """Lengths in tokens are no part of reading, and a tokenizer takes longer to load than these files to read."""
    monkeypatch.setattr("lightune.models.token_counter.embedded_is_here", lambda: False)


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_a_file_is_read_with_what_its_messages_propose(tmp_path: Path, case: Case):
    """The task, the labels and every row, as the code that writes the file states them."""
    assert read_only(case, tmp_path) == []


def test_there_are_files_of_every_kind():
    assert len(CASES) >= 30
    kinds = {case.file.partition(".")[2] for case in CASES}
    assert kinds == {"csv", "tsv", "txt", "json", "jsonl", "jsonl.gz", "xlsx", "parquet"}
    assert {case.task for case in CASES} == {"classification", "multi_label", "regression"}
    assert len({case.file for case in CASES}) == len(CASES)


MESSAGE = """DATA-025 a.csv: the names do not show which column is the label.
Columns: mood, 'How was it?'. It may be --label-column mood or --label-column 'How was
it?'. Or --task regression, --encoding cp1252, --set data.on_missing=drop; --epochs 5."""


def owner(**knows: str) -> Case:
    flags = {f"--{name.replace('_', '-')}": value for name, value in knows.items()}
    return Case("a.csv", "", "classification", 1, lambda path: None, knows=flags)


def test_only_what_a_message_offers_is_taken():
    taken = {"--encoding": ["cp1252"], "--set": ["data.on_missing=drop"]}
    assert proposals(MESSAGE, owner(), True) == taken
    assert proposals(MESSAGE, owner(label_column="How was it?"), True) == {"--label-column": ["How was it?"], **taken}
    assert proposals(MESSAGE, owner(label_column="stars"), True) == taken
    assert proposals(MESSAGE, owner(label_column="mood"), False) == {"--label-column": ["mood"]}


def test_a_row_that_is_neither_used_nor_counted_fails():
    case = Case("a.csv", "", "classification", 10, lambda path: None, dropped=2, labels=2)
    counts = {"rows_in": 11, "used": {"train": 8}, "dropped": {"repeated": 2, "blank line": 1}}
    assert row_faults(case, "classification", 2, counts) == []
    assert row_faults(case, "regression", 1, {**counts, "used": {"train": 7}}) == [
        "task: regression, not classification",
        "labels: 1, not 2",
        "rows: 9, not 10",
        "rows of its own count: 11, not 10",
    ]


@pytest.mark.long
def test_every_file_becomes_a_checked_model(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "first_hour.py"), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
