"""The table of tasks; each task's file registers itself here, and packages installed beside lightune add theirs."""

from __future__ import annotations

from lightune.registry import Registry
from lightune.tasks.base import Task

TASKS: Registry[type[Task]] = Registry("task")
register = TASKS.register
