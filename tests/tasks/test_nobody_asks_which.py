"""Nobody outside tasks/ asks which task it is: held by the syntax trees of all other modules."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightune
from lightune.tasks import TASKS
from lightune.tasks.base import Task

PACKAGE = Path(lightune.__file__).parent
ADR = PACKAGE.parent.parent / "docs" / "adr" / "0014-tasks.md"
# Names that a task has or will have; "ratings" is the one that docs/adding_a_task.md adds.
NAMES = {*TASKS, "classification", "multi_label", "regression", "tokens", "generation", "ratings"}
# A question about a metric of one task is a question about the task.
METRICS = {metric.name for _, kind in TASKS.items() for metric in kind.metrics}
# Words that mean something else where they stand: how a prefix starts.
OTHER_MEANINGS = {"methods/prefix.py": {"tokens"}}
OWN_MODULES = {kind.__module__ for _, kind in TASKS.items() if kind.__module__.startswith("lightune.")}
OWN_CLASSES = {kind.__name__ for _, kind in TASKS.items()}


def modules() -> list[Path]:
    """Every module of the package outside tasks/."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "tasks"]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def questions(tree: ast.AST) -> Iterator[str]:
    """Yield every place where a module asks which task it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            full = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            if full & OWN_MODULES:
                yield f"{node.lineno}: imports {', '.join(sorted(full & OWN_MODULES))}"
        elif isinstance(node, ast.Import):
            yield from (f"{node.lineno}: imports {alias.name}" for alias in node.names if alias.name in OWN_MODULES)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            found = [part.value for side in sides for part in ast.walk(side) if is_name(part)]  # type: ignore[attr-defined]
            yield from (f"{node.lineno}: compares with {name!r}" for name in found)
            if any(map(is_named, sides)):
                yield from (f"{node.lineno}: compares with the metric {name!r}" for name in metrics_in(*sides))
            if any(is_task(side.value) and side.attr == "name" for side in sides if isinstance(side, ast.Attribute)):
                yield f"{node.lineno}: compares a task's name"
        elif isinstance(node, ast.match_case):
            found = [part.value for part in ast.walk(node.pattern) if is_name(part)]  # type: ignore[attr-defined]
            yield from (f"{node.pattern.lineno}: matches {name!r}" for name in found + metrics_in(node.pattern))
        elif isinstance(node, ast.Subscript) and is_name(node.slice):
            yield f"{node.lineno}: looks up {node.slice.value!r}"  # type: ignore[attr-defined]
        elif isinstance(node, ast.Subscript) and metrics_in(node.slice):
            yield f"{node.lineno}: looks up the metric {metrics_in(node.slice)[0]!r}"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            named = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.args[1])}
            yield from (f"{node.lineno}: asks for the class {name}" for name in sorted(named & OWN_CLASSES))


def is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES


def metrics_in(*nodes: ast.AST) -> list[str]:
    """Return the names of tasks' metrics that are written in an expression."""
    written = [part.value for node in nodes for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return [value for value in written if isinstance(value, str) and value in METRICS]


def is_named(node: ast.AST) -> bool:
    """Say whether something in an expression is called a name or a metric: names, metric, headline.name."""
    called = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node)}
    return any(word in one.lower() for one in called for word in ("name", "metric", "headline"))


def is_task(node: ast.AST) -> bool:
    """Say whether an expression is called a task: task, run.task, self._task, splits.task, config.task, kind."""
    called = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return called.lstrip("_") == "task"


def branched_on(tree: ast.AST) -> Iterator[str]:
    """Yield the attributes of a task that stand in a condition."""
    for node in ast.walk(tree):
        conditions: list[ast.AST] = []
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            conditions = [node.test]
        elif isinstance(node, ast.comprehension):
            conditions = list(node.ifs)
        elif isinstance(node, ast.match_case):
            conditions = [node.guard] if node.guard else []
        elif isinstance(node, ast.BoolOp):
            conditions = list(node.values[:-1])
        called = {id(part.func) for where in conditions for part in ast.walk(where) if isinstance(part, ast.Call)}
        for where in conditions:
            for part in ast.walk(where):
                if isinstance(part, ast.Attribute) and is_task(part.value) and id(part) not in called:
                    yield part.attr


def test_the_search_finds_what_it_looks_for():
    """A test that cannot fail is worse than none."""
    asking = [
        "from lightune.tasks.classification import Classification",
        "from lightune.tasks import classification",
        "import lightune.tasks.classification",
        "if task.name == 'classification': pass",
        "x = name in ('tokens', 'regression')",
        "if run.task.name != other: pass",
        "match name:\n    case 'multi_label': pass",
        "isinstance(task, Classification)",
        "issubclass(kind, (int, base.Classification))",
        "TASKS['classification']",
        "if headline.name != 'loss': pass",
        "x = [name for name in names if name == 'accuracy']",
        "if metric in ('loss', 'f1_macro'): pass",
        "if 'accuracy' in found.metrics: pass",
        "match metric:\n    case 'accuracy': pass",
        "x = after.metrics['accuracy']",
    ]
    assert [line for line in asking if not list(questions(ast.parse(line)))] == []
    quiet = [
        "task.name",
        "from lightune.tasks import Task, find_task",
        "TASKS[name]",
        "isinstance(task, Task)",
        "'tokens'",
        "epoch.metrics.get(headline.name)",
        "if kind == 'loss': pass",
    ]
    assert [line for line in quiet if list(questions(ast.parse(line)))] == []
    assert list(branched_on(ast.parse("x = 1 if self._task.reads == 'text' else 2"))) == ["reads"]
    assert list(branched_on(ast.parse("if run.task.agree(a, b): pass"))) == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_does_not_ask_which_task_it_is(path: Path):
    other = OTHER_MEANINGS.get(path.relative_to(PACKAGE).as_posix(), set())
    assert [found for found in questions(parsed(path)) if not any(repr(word) in found for word in other)] == []


def test_every_attribute_that_is_branched_on_is_listed_with_two_tasks_on_either_side():
    """What one task alone would set is the same question in disguise; the decision's table says who has which value."""
    found = {name for path in modules() for name in branched_on(parsed(path))}
    public = {name for name, _ in inspect.getmembers(Task)} | {
        name for kind in Task.__mro__ for name in inspect.get_annotations(kind)
    }
    listed = re.findall(r"^\| `(\w+)`", ADR.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(found & public) == sorted(listed)
