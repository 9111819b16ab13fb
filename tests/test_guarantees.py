"""docs/guarantees.md has a row for each proof: `make faults` writes it after running them all."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(
    r"^\| (?P<promise>.+?) \| \[`(?P<test>\w+)`\]\(\.\./(?P<file>[\w/.]+)\)(?P<long>, long)? \| (?P<figure>.+) \|$"
)
Proof = tuple[str, str, str, bool]  # promise, file, test, whether only `make faults` runs it


def proofs() -> Iterator[Proof]:
    """Yield the tests with the mark, read without importing them."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                marks = list(map(ast.unparse, node.decorator_list))
                promises = [mark for mark in marks if mark.startswith("pytest.mark.guarantee(")]
                for promise in promises:
                    found = ast.literal_eval(promise.removeprefix("pytest.mark.guarantee"))
                    yield found, path.relative_to(ROOT).as_posix(), node.name, "pytest.mark.faults" in marks


def test_the_page_has_a_row_for_each_proof_with_its_figure() -> None:
    lines = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8").splitlines()
    rows = list(filter(None, map(ROW.match, lines)))
    found = {(row["promise"], row["file"], row["test"], row["long"] is not None) for row in rows}
    assert found == set(proofs())
    assert len(rows) == len(found)
