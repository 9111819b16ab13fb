"""The table of tasks; each task's file registers itself here, and packages installed beside lightune add theirs."""

from __future__ import annotations

from lightune.registry import Registry
from lightune.tasks.base import Task


def _check(kind: type[Task]) -> None:
    """Raise TypeError for what is not a task."""
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise TypeError(f"{kind!r} is not a Task")


TASKS: Registry[type[Task]] = Registry("task", entry_points="lightune.tasks", check=_check)
register = TASKS.register
