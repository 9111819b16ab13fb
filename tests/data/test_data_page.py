"""docs/data.md names every code that the data layer can raise, and no others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Raised for texts to classify and for stored runs, not for labelled data.
ELSEWHERE = {"DATA-040", "DATA-041", "DATA-042", "DATA-043", "DATA-050"}


def test_every_code_has_its_row():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    raised = set(re.findall(r'"(DATA-\d{3})"', sources)) - ELSEWHERE
    rows = re.findall(r"^\| (DATA-\d{3}) \|", (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == sorted(raised)
