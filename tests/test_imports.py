"""The package read as syntax trees: no circle of imports anywhere, no long functions."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
FILES = sorted((SOURCE / "lightune").rglob("*.py"))
LONGEST, LONG, LONG_ONES = 37, 25, 4


class Imports(ast.NodeVisitor):
    """What a file imports at any depth, but for what only type checkers see."""

    def __init__(self, modules: set[str]) -> None:
        self.modules = modules
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not ast.unparse(node.test).endswith("TYPE_CHECKING"):
            self.generic_visit(node)
            return
        for part in node.orelse:
            self.visit(part)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names} & self.modules

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """`from lightune.x import y` is an import of lightune.x.y where that is a module, else of lightune.x."""
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            inside = f"{node.module}.{alias.name}"
            self.found |= {inside if inside in self.modules else str(node.module)} & self.modules


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(files: list[Path], root: Path) -> dict[str, set[str]]:
    """Return which modules each module imports."""
    names = {module_of(path, root): path for path in files}
    graph = {}
    for name, path in names.items():
        imports = Imports(set(names))
        imports.visit(ast.parse(path.read_text(encoding="utf-8")))
        graph[name] = imports.found
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return a circle of the graph, or nothing: then its largest strongly connected component has one module."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def written(folder: Path, **files: str) -> list[Path]:
    """Write files into a package `p` and return their paths."""
    (folder / "p").mkdir()
    for name, text in {"__init__": "", **files}.items():
        (folder / "p" / f"{name}.py").write_text(text)
    return sorted((folder / "p").glob("*.py"))


def test_no_module_imports_itself_through_others() -> None:
    """Deferred imports count: a circle that is opened by an import inside a function is a circle all the same."""
    assert circle(import_graph(FILES, SOURCE)) == []


def test_a_deferred_import_closes_a_circle(tmp_path: Path) -> None:
    files = written(tmp_path, a="import p.b", b="def f():\n    from p import a")
    assert set(circle(import_graph(files, tmp_path))) == {"p.a", "p.b"}


def test_a_name_from_the_package_itself_closes_a_circle(tmp_path: Path) -> None:
    files = written(tmp_path, __init__="from p import a\nNAME = 1", a="from p import NAME")
    assert set(circle(import_graph(files, tmp_path))) == {"p", "p.a"}


def test_what_type_checkers_alone_see_and_modules_of_ones_own_package_are_no_circle(tmp_path: Path) -> None:
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B\nelse:\n    from p import base"
    files = written(tmp_path, __init__="from p import a", a=typed, b="from p.a import A", base="")
    assert circle(import_graph(files, tmp_path)) == []
    assert import_graph(files, tmp_path)["p.a"] == {"p.base"}


def test_functions_stay_short() -> None:
    lengths = {
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}": body_lines(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
    long = {name: lines for name, lines in lengths.items() if lines > LONG}
    assert len(long) <= LONG_ONES, long
