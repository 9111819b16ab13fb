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
MARK = "pytest.mark.guarantee("
Proof = tuple[str, str, str]  # promise, file, test


def proofs() -> Iterator[Proof]:
    """Yield the tests with the mark, read without importing them."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        texts = dict(_texts(body))
        for node in body:
            if isinstance(node, ast.FunctionDef):
                marks = list(map(ast.unparse, node.decorator_list))
                given = [mark[len(MARK) : -1] for mark in marks if mark.startswith(MARK)]
                for promise in (texts.get(one) or ast.literal_eval(one) for one in given):
                    yield promise, path.relative_to(ROOT).as_posix(), node.name


def _texts(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield the names that a module gives to texts: a promise with several proofs has one."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield ast.unparse(node.targets[0]), node.value.value


def test_the_page_has_a_row_for_each_proof_with_its_figure() -> None:
    lines = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8").splitlines()
    rows = list(filter(None, map(ROW.match, lines)))
    assert {(row["promise"], row["file"], row["test"]) for row in rows} == set(proofs())
    assert all(row["figure"] for row in rows)
