"""The notebook in docs: a valid one, without outputs, whose cells run in order."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from reloading_here import reloading_here

NOTEBOOK = json.loads((Path(__file__).parents[1] / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_has_the_shape_of_nbformat_4_5():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert set(NOTEBOOK) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    shapes = {
        "markdown": {"cell_type", "id", "metadata", "source"},
        "code": {"cell_type", "id", "metadata", "source", "execution_count", "outputs"},
    }
    for cell in NOTEBOOK["cells"]:
        assert set(cell) == shapes[cell["cell_type"]]
        assert all(isinstance(line, str) and line.endswith("\n") for line in cell["source"][:-1])
    identifiers = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(identifiers)) == len(identifiers)


def test_it_was_saved_without_outputs():
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def _execute(code: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last expression, as a notebook shows it."""
    body = ast.parse(code)
    last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
    exec(compile(body, "cell", "exec"), names)  # noqa: S102 (our own notebook)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


def _run_all(cells: list[str]) -> tuple[Any, list[Any]]:
    """Run the cells in one namespace; return the record and what each cell shows."""
    names: dict[str, Any] = {}
    shown = [_execute(code, names) for code in cells]
    return names["record"], shown


def test_its_cells_run_in_order(tmp_path: Path, tiny_models: dict[str, Path], monkeypatch, capsys):
    """On a tiny model in place of the embedded one: the same code in a few seconds."""
    monkeypatch.chdir(tmp_path)
    cells = [code.replace('model="minilm"', f'model="{tiny_models["distilbert"].as_posix()}"') for code in CODE]
    assert cells != CODE
    with reloading_here():
        record, shown = _run_all(cells)
    assert record.run_folder == "runs/first-1"
    assert record.reload_check.passed
    assert record.after.examples == 150
    assert shown[1] is record
    assert capsys.readouterr().out.split()[0] == str(record.after.accuracy)
    assert {answer.label for answer in shown[3]} <= {"negative", "positive"}
    assert len(shown[3]) == 2
    assert sum(shown[4][2].values()) == pytest.approx(1)
    assert {"adapter", "report.html", "recipe.yaml", "results.json"} <= set(shown[5])


@pytest.mark.long
def test_its_cells_run_as_they_stand(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record, _ = _run_all(CODE)
    assert record.model.name == "minilm"
    assert record.after.accuracy > record.before.accuracy
