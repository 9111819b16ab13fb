"""A file may be larger than memory: loading a task from it holds a small part of it at a time."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from lightune import memory
from lightune.data.arrow_columns import IN_MEMORY_BYTES
from lightune.data.tables import read_table
from lightune.faults import Fault

WORDS = ["the", "film", "was", "slow", "warm", "dull", "bright", "quiet", "loud", "and", "very", "rather", "never"]
MB = 1_000_000


def write_reviews(path: Path, size: int, words: int) -> Path:
    """Write a csv of at least `size` bytes; every text is another one."""
    draw = random.Random(1)
    pool = [" ".join(draw.choices(WORDS, k=words)) for _ in range(1000)]
    row = written = 0
    with path.open("w", encoding="utf-8") as sink:
        sink.write("text,label\n")
        while written < size:
            lines = (f'"{row + i}, {pool[i]}",{("no", "yes")[i % 2]}\n' for i in range(1000))
            written += sink.write("".join(lines))
            row += 1000
    return path


def growth(path: Path, in_memory_bytes: int) -> int:
    """Return by how many bytes a fresh process grows while it loads 500 + 500 examples of a file."""
    script = Path(__file__).with_name("memory_of_loading.py")
    command = [sys.executable, str(script), str(path), str(in_memory_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, *counts = map(int, done.stdout.split())
    assert counts == [500, 500, 1000]
    return grown


def test_forty_megabytes_are_loaded_in_less_than_their_size(tmp_path: Path):
    """The limit above which a file lies on disk is scaled down as the file is."""
    path = write_reviews(tmp_path / "a.csv", 40 * MB, words=200)
    assert growth(path, IN_MEMORY_BYTES // 25) < 40 * MB


@pytest.mark.long
def test_a_gigabyte_is_loaded_with_less_than_a_gigabyte(tmp_path: Path):
    """Short texts, five million of them: what is kept for each row counts too."""
    path = write_reviews(tmp_path / "a.csv", 1000 * MB, words=35)
    assert growth(path, IN_MEMORY_BYTES) < 1000 * MB


def test_a_json_file_is_measured_by_what_a_container_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own memory is not what a container may take."""
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a", "label": "x"}]', encoding="utf-8")
    faults: list[Fault] = []
    monkeypatch.setattr(memory, "_left_in_groups", lambda: iter([200]))
    read_table(path, faults)
    assert [fault.code for fault in faults] == ["DATA-079"]
