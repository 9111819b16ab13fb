"""The table of tasks; each task's file registers itself here, and other packages by the entry points of a group."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass

from lightune.measured import Metric
from lightune.registry import Registry
from lightune.sections import Epoch, Evaluation
from lightune.tasks.base import Task

# Metrics are written beside these, under their own names.
TAKEN = {*Evaluation.model_fields, *Epoch.model_fields}


def _check(name: str, kind: type[Task]) -> None:
    """Raise for what is not a task, or lacks what every task has; another package may register anything."""
    if not (isinstance(kind, type) and issubclass(kind, Task) and is_dataclass(kind)):
        raise TypeError(f"{kind!r} is not a dataclass that derives from lightune.tasks.Task")
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise TypeError(f"{kind.__name__} lacks {', '.join(missing)}")
    if getattr(kind, "name", None) != name:
        raise ValueError(f"{kind.__name__}.name is not the name under which it is registered, {name}")
    metrics = getattr(kind, "metrics", ())
    if not metrics or not all(isinstance(metric, Metric) for metric in metrics):
        raise TypeError(f"{kind.__name__}.metrics is not a tuple of one Metric or more")
    names = [metric.name for metric in metrics]
    wrong = [found for found in names if names.count(found) > 1 or found in TAKEN or not found.isidentifier()]
    if wrong:
        raise ValueError(f"{kind.__name__}.metrics: {wrong[0]} occurs twice, is not an identifier, or is taken")
    if not inspect.getdoc(kind) or str(kind.__doc__).startswith(f"{kind.__name__}("):
        raise ValueError(f"{kind.__name__} has no docstring, whose first line says what stands beside a text")


TASKS: Registry[type[Task]] = Registry("task", entry_points="lightune.tasks", check=_check)
register = TASKS.register
